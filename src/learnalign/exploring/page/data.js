// Blocks: gzip, in base64 inside the page or as files beside it; and making elements.

const cache = new Map();

async function bytesOf(name) {
  const inside = document.getElementById(`block-${name}`);
  if (inside) return fromBase64(inside.textContent);
  const answer = await asked(`${name}.gz`);
  if (!answer.ok) throw new Error(`${name}.gz: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

// What the server answers; a server that has ended does not.
async function asked(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new Error("the page's server does not answer. Run learnalign explore --serve again.");
  }
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function unpacked(name) {
  const packed = new Blob([await bytesOf(name)]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

// A block of JSON; read once, unless that failed.
function jsonBlock(name) {
  if (!cache.has(name)) {
    const block = unpacked(name).then((buffer) => JSON.parse(new TextDecoder().decode(buffer)));
    cache.set(name, block);
    block.catch(() => cache.delete(name));
  }
  return cache.get(name);
}

async function columnsOf(described) {
  const buffer = await unpacked("columns");
  const types = { Float64Array, Float32Array, Int32Array };
  return new Map(
    described.map(({ name, type, offset, length }) => [name, new types[type](buffer, offset, length)]),
  );
}

// The item of a problem in blocks of `size` items; null if the run does not have it.
async function textOf(run, kind, size, problem) {
  const row = run.rows[problem];
  if (row < 0) return null;
  const block = await jsonBlock(`${run.number}-${kind}-${Math.floor(row / size)}`);
  return block[row % size];
}

// An element with attributes, listeners (on...) and children; strings become text, never markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const byId = (id) => document.getElementById(id);

// A function that runs once, `wait` milliseconds after its last call.
function debounced(run, wait) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...values), wait);
  };
}

// A word of a command as a shell reads it.
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);
