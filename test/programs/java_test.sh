#!/bin/bash
# javac, and java with threads, direct buffers and zlib; the class file is
# compared too.
source test/programs/common.sh
need java javac
export JAVA_TOOL_OPTIONS='-Xmx256m -XX:-UsePerfData'

cat >"$TEST_TMPDIR/Session.java" <<'END'
import java.nio.ByteBuffer;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.IntStream;
import java.util.zip.*;

public class Session {
  static long job(int seed) throws DataFormatException {
    Random random = new Random(seed);
    long sum = 0;
    for (int i = 0; i < 60; i++) {
      byte[] in = new byte[20_000];
      for (int j = 0; j < in.length; j++) in[j] = (byte) random.nextInt(16);
      Deflater deflater = new Deflater();
      deflater.setInput(in);
      deflater.finish();
      byte[] packed = new byte[40_000];
      int n = deflater.deflate(packed);
      deflater.end();
      Inflater inflater = new Inflater();
      inflater.setInput(packed, 0, n);
      byte[] out = new byte[in.length];
      inflater.inflate(out);
      inflater.end();
      if (!Arrays.equals(in, out)) throw new Error("inflated data differ");
      ByteBuffer direct =
          ByteBuffer.allocateDirect(1 + random.nextInt(100_000));
      while (direct.hasRemaining()) direct.put((byte) i);
      CRC32 crc = new CRC32();
      crc.update(direct.flip());
      sum += crc.getValue() + n;
    }
    return sum;
  }

  static int overflow(int n) {
    return overflow(n + 1) + 1;
  }

  public static void main(String[] args) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(6);
    List<Future<Long>> sums = new ArrayList<>();
    for (int i = 0; i < 12; i++) {
      int seed = i;
      sums.add(pool.submit(() -> job(seed)));
    }
    for (Future<Long> sum : sums) System.out.println("job " + sum.get());
    pool.shutdown();

    ConcurrentHashMap<String, Integer> words = new ConcurrentHashMap<>();
    IntStream.range(0, 200_000).parallel()
        .forEach(i -> words.merge("word" + i % 1009, 1, Integer::sum));
    System.out.println("words " + words.size() + " " + words.get("word7"));

    for (int i = 0; i < 100; i++) {
      Thread thread = new Thread(() -> words.merge("threads", 1, Integer::sum));
      thread.start();
      thread.join();
    }
    System.out.println("threads " + words.get("threads"));
    Process child = new ProcessBuilder("sh", "-c", "echo from a child; exit 2")
        .inheritIO().start();
    System.out.println("child " + child.waitFor());
    try {
      overflow(0);
    } catch (StackOverflowError e) {
      System.out.println("caught " + e);
    }
    System.err.println("to standard error");
    System.exit(3);
  }
}
END

session() {
  javac -d . "$TEST_TMPDIR/Session.java"
  java -cp . Session
}

assert_served java -version
expected_status=3
run_both java session
