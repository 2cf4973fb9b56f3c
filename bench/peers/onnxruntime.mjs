// Times whole passes of a network in ONNX Runtime, as cleave_bench_whole does in cleave:
//   node onnxruntime.mjs NODE_MODULES MODEL SIZES THREADS PASSES
// Prints one line of JSON.
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

const [modules, model, sizes, threads, passes] = process.argv.slice(2);
const root = resolve(modules);
const ort = createRequire(join(root, 'package.json'))(join(root, 'onnxruntime-node'));

const loading = process.hrtime.bigint();
const since = (start) => Number(process.hrtime.bigint() - start) / 1e6;
const session = await ort.InferenceSession.create(model, {
  intraOpNumThreads: Number(threads),
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
});
const loadMs = since(loading);
const dims = sizes.split('x').map(Number);
const data = Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * 0.37));
const feeds = { [session.inputNames[0]]: new ort.Tensor('float32', data, dims) };

const warmUp = 3;
const times = [];
for (let i = 0; i < warmUp + Number(passes); ++i) {
  const start = process.hrtime.bigint();
  await session.run(feeds);
  if (i >= warmUp) times.push(since(start));
}
times.sort((a, b) => a - b);
console.log(JSON.stringify({
  runtime: 'onnxruntime', threads: Number(threads), passes: times.length,
  median_ms: times[times.length >> 1], p95_ms: times[Math.floor(times.length * 0.95)], least_ms: times[0], load_ms: Math.round(loadMs),
}));
