# shellcheck shell=bash
# OpenJDK: javac of a thousand classes, whose files are compared, and a program
# that has threads make garbage, under each collector.
about="OpenJDK: javac of a big tree, garbage from many threads in each collector"
needs=(javac=default-jdk-headless java=default-jdk-headless)
from=commons-math3

prepare() {
  cat >Garbage.java <<'END'
import java.util.*;
import java.util.concurrent.*;
import java.util.zip.*;

/** Trees, maps, direct buffers and deflaters, in 8 threads that start threads. */
public class Garbage {
  record Node(Node left, Node right, byte[] load) {}

  static Node grow(int depth, Random random) {
    return depth == 0 ? null : new Node(grow(depth - 1, random),
        grow(depth - 1, random), new byte[random.nextInt(64)]);
  }

  static long count(Node node) {
    return node == null ? 0 : node.load.length + count(node.left) + count(node.right);
  }

  static long work(int seed, int rounds) throws Exception {
    Random random = new Random(seed);
    Map<Integer, Object> kept = new LinkedHashMap<>();
    long sum = 0;
    for (int i = 0; i < rounds; i++) {
      Node tree = grow(12, random);
      sum += count(tree);
      kept.put(random.nextInt(50), tree);
      var direct = java.nio.ByteBuffer.allocateDirect(1 + random.nextInt(200_000));
      while (direct.hasRemaining()) direct.put((byte) i);
      CRC32 crc = new CRC32();
      crc.update(direct.flip());
      sum += crc.getValue();
      Deflater deflater = new Deflater();
      deflater.setInput(new byte[random.nextInt(50_000)]);
      deflater.finish();
      sum += deflater.deflate(new byte[1000]);
      if (i % 3 == 0) deflater.end();
      long[] found = new long[1];
      Thread thread = new Thread(() -> found[0] = count(tree));
      thread.start();
      thread.join();
      sum += found[0];
    }
    return sum;
  }

  public static void main(String[] args) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(8);
    List<Future<Long>> sums = new ArrayList<>();
    for (int i = 0; i < 16; i++) {
      int seed = i;
      sums.add(pool.submit(() -> work(seed, Integer.parseInt(args[0]))));
    }
    long total = 0;
    for (Future<Long> sum : sums) total += sum.get();
    pool.shutdown();
    System.out.println(total);
  }
}
END
}

# A test's name has a digest of what came out: what differs has another name.
tests() {
  local rounds=100 collector digest
  case $size in
    short) rounds=10 ;;
    full) rounds=1000 ;;
  esac
  mkdir classes
  find src/main/java -name '*.java' >files
  [[ $size != short ]] || sed -i '/\/util\/\|\/exception\//!d' files
  if javac -nowarn -encoding UTF-8 -d classes @files; then
    digest=$(find classes -type f -print0 | sort -z | xargs -0 cat | sha256sum)
    echo "passed javac-${digest:0:12}"
  else
    echo 'failed javac'
  fi
  javac Garbage.java
  for collector in Serial Parallel G1 Shenandoah Z; do
    java -Xlog:disable -XX:+UnlockExperimentalVMOptions "-XX:+Use${collector}GC" \
      -Xmx400m -version >/dev/null 2>&1 || continue
    if digest=$(java "-XX:+Use${collector}GC" -Xmx400m Garbage "$rounds"); then
      echo "passed $collector-$digest"
    else
      echo "failed $collector"
    fi
  done
}

outcomes() {
  grep -E '^(passed|failed) [A-Za-z0-9-]+$'
}
