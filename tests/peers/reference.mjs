// Runs ONNX Runtime on every case of a folder: CASE.onnx with CASE.in0.npy, CASE.in1.npy, ... gives
// CASE.out0.npy, ... A case whose outputs are newer than its model and inputs is left alone.
//
//   node reference.mjs NODE_MODULES FOLDER
import { createRequire } from 'node:module';
import { existsSync, readFileSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const [modules, folder] = process.argv.slice(2).map((path) => resolve(path));
const ort = createRequire(join(modules, 'package.json'))(join(modules, 'onnxruntime-node'));

const types = {
  '<f4': ['float32', Float32Array], '<i8': ['int64', BigInt64Array], '<i4': ['int32', Int32Array],
  '|b1': ['bool', Uint8Array], '|u1': ['uint8', Uint8Array], '<f8': ['float64', Float64Array],
};

// The format of NumPy, version 1.0 (numpy.lib.format).
function readNpy(path) {
  const bytes = readFileSync(path);
  const length = bytes.readUInt16LE(8);
  const header = bytes.subarray(10, 10 + length).toString('latin1');
  const descr = /'descr': *'([^']+)'/.exec(header)[1];
  const dims = /'shape': *\(([^)]*)\)/.exec(header)[1].split(',').filter((s) => s.trim()).map(Number);
  const [type, Array_] = types[descr];
  const data = bytes.buffer.slice(bytes.byteOffset + 10 + length, bytes.byteOffset + bytes.length);
  return new ort.Tensor(type, new Array_(data), dims);
}

function writeNpy(path, tensor) {
  const [descr] = Object.entries(types).find(([, [type]]) => type === tensor.type);
  const shape = tensor.dims.length === 1 ? `${tensor.dims[0]},` : tensor.dims.join(', ');
  let header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }`;
  header = header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11) + '\n';
  const start = Buffer.alloc(10);
  start.write('\x93NUMPY\x01\x00', 'latin1');
  start.writeUInt16LE(header.length, 8);
  const data = Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
  writeFileSync(`${path}.part`, Buffer.concat([start, Buffer.from(header, 'latin1'), data]));
  renameSync(`${path}.part`, path);
}

const time = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

let count = 0;
const refused = [];
for (const file of readdirSync(folder).filter((name) => name.endsWith('.onnx')).sort()) {
  const base = join(folder, file.slice(0, -'.onnx'.length));
  let newest = time(`${base}.onnx`);
  const feeds = [];
  for (let i = 0; existsSync(`${base}.in${i}.npy`); ++i) {
    newest = Math.max(newest, time(`${base}.in${i}.npy`));
    feeds.push(readNpy(`${base}.in${i}.npy`));
  }
  ++count;
  if (time(`${base}.out0.npy`) > newest) continue;
  try {
    const session = await ort.InferenceSession.create(`${base}.onnx`, {
      executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3,
    });
    const inputs = Object.fromEntries(session.inputNames.map((name, i) => [name, feeds[i]]));
    const outputs = await session.run(inputs);
    session.outputNames.forEach((name, i) => writeNpy(`${base}.out${i}.npy`, outputs[name]));
  } catch (error) {
    refused.push(`${file}: ${error.message.trim()}`);
  }
}
if (count === 0) throw new Error(`no models in ${folder}`);
for (const line of refused) console.error(line);
if (refused.length > 0) throw new Error(`${refused.length} models that ONNX Runtime refuses`);
console.log(`ONNX Runtime ${ort.env.versions.node ?? ''}: ${count} cases`);
