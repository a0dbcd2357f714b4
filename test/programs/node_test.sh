#!/bin/bash
# node: worker_threads that exchange buffers, zlib, crypto, a child process.
source test/programs/common.sh
need node

cat >"$TEST_TMPDIR/session.js" <<'END'
const {Worker, isMainThread, parentPort, workerData} =
    require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');
const {execFileSync} = require('child_process');

const sha = data => crypto.createHash('sha256').update(data).digest('hex');

// Answers 40 messages with buffers of the size asked for, then once more.
function worker() {
  const objects = [];
  for (let i = 0; i < 50000; i++) {
    objects.push({i, text: 'x'.repeat(i % 50), list: [i, i + workerData]});
  }
  const packed = zlib.deflateSync(JSON.stringify(objects));
  let count = 0;
  parentPort.on('message', size => {
    const bytes = new Uint8Array(size).fill(size & 255);
    parentPort.postMessage({sum: sha(bytes), bytes}, [bytes.buffer]);
    if (++count === 40) {
      const unpacked = zlib.inflateSync(packed);
      parentPort.postMessage({sum: sha(packed), bytes: unpacked});
      parentPort.close();
    }
  });
}

function run(id) {
  return new Promise((resolve, reject) => {
    const thread = new Worker(__filename, {workerData: id});
    const answers = [];
    thread.on('message', m => answers.push(m.sum + m.bytes.length));
    thread.on('error', reject);
    thread.on('exit', code => resolve(
        `worker ${id}: ${code}, ${answers.length}, ${sha(answers.join())}`));
    for (let i = 1; i <= 40; i++) thread.postMessage(i * 7919);
  });
}

function key(i) {
  return new Promise(resolve => crypto.pbkdf2(
      'secret', 'salt' + i, 2000, 32, 'sha256',
      (error, key) => resolve(error || key.toString('hex'))));
}

async function main() {
  console.log((await Promise.all([1, 2, 3, 4].map(run))).join('\n'));
  console.log((await Promise.all([1, 2, 3, 4, 5, 6].map(key))).join('\n'));
  const zipped = zlib.gzipSync(Buffer.alloc(5e6, 'abc'));
  console.log('gzip', zlib.gunzipSync(zipped).length);
  const child = execFileSync(process.execPath, ['-p', '6 * 7']);
  console.log('child', child.toString());
  const buffers = Array.from({length: 3000}, (_, i) => Buffer.alloc(i, i));
  console.log('buffers', sha(Buffer.concat(buffers)));
  console.error('to standard error');
  process.exitCode = 6;
}

isMainThread ? main() : worker();
END

assert_served node -p 1
expected_status=6
run_both node node "$TEST_TMPDIR/session.js"
