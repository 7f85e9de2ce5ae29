"use strict";

// One client id per page: frames of other pages' prompts are not ours to show.
const clientId = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
  byte.toString(16).padStart(2, "0"),
).join("");
const TEXT_TYPE = "CLIPTextEncode";
const KNOWN = ["shapes", "colours", "objects", "scenes"];
const part = (id) => document.getElementById(id);

const state = { graph: null, auth: "local", socket: null, promptId: "", early: [], url: "" };

async function begin() {
  const demo = await (await fetch("/demo")).json();
  state.graph = demo.graph;
  state.auth = demo.auth;
  for (const field of document.querySelectorAll(".key")) field.hidden = demo.known;
  showCard(demo.card);
  showCall();
  part("text").addEventListener("input", showCall);
  part("form").addEventListener("submit", (event) => {
    event.preventDefault();
    make();
  });
  part("key").addEventListener("change", connect);
  if (!state.graph) stop("There is no default graph here; use the API.", true);
  for (const link of document.querySelectorAll(".session")) {
    link.hidden = !(demo.known && demo.auth === "keys");
  }
  if (demo.known) connect();
  else part("state").textContent = "Enter an API key to begin.";
}

function showCard(card) {
  if (!card) return;
  const knows = card.knows || {};
  part("about").textContent =
    `${card.name}: ${card.width_pixels} x ${card.height_pixels} pixels, drawn four times as ` +
    `large by an upscaler. Licence ${card.licence}. It knows little, and says so:`;
  for (const name of KNOWN) {
    if (!knows[name]) continue;
    const term = document.createElement("dt");
    const words = document.createElement("dd");
    term.textContent = name;
    words.textContent = knows[name].join(", ");
    part("card").append(term, words);
  }
  for (const sentence of (knows.sentences || []).slice(0, 6)) {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.textContent = sentence;
    chip.addEventListener("click", () => {
      part("text").value = sentence;
      showCall();
      make();
    });
    part("examples").append(chip);
  }
}

function graphOf(text, seed) {
  const graph = structuredClone(state.graph);
  const sampler = Object.values(graph).find((node) => node.class_type === "KSampler");
  if (sampler && seed !== undefined) sampler.inputs.seed = seed;
  const positive = sampler && graph[sampler.inputs.positive[0]];
  const first = Object.values(graph).find((node) => node.class_type === TEXT_TYPE);
  (positive || first).inputs.text = text;
  return graph;
}

function showCall() {
  if (!state.graph) return;
  const body = JSON.stringify({ prompt: graphOf(part("text").value) }).replaceAll("'", "'\\''");
  const key = state.auth === "keys" ? " -H 'Authorization: Bearer sk-hanzo-...'" : "";
  part("curl").textContent =
    `curl ${location.origin}/prompt${key} -H 'Content-Type: application/json' -d '${body}'`;
}

function headers() {
  const key = part("key").value.trim();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

function withToken(query) {
  const key = part("key").value.trim();
  if (key) query.set("token", key);
  return query;
}

function connect() {
  if (state.socket) {
    state.socket.onclose = null;
    state.socket.close();
  }
  const url = new URL("/ws", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = withToken(new URLSearchParams({ clientId })).toString();
  const socket = new WebSocket(url);
  state.socket = socket;
  socket.onmessage = (message) => {
    if (typeof message.data === "string") hear(JSON.parse(message.data));
  };
  socket.onclose = () => {
    part("state").textContent = "Not connected; trying again.";
    setTimeout(connect, 2000);
  };
}

async function make() {
  if (!state.graph || part("go").disabled) return;
  part("go").disabled = true;
  state.promptId = "";
  state.early = [];
  say("Handing it in.", null);
  const seed = crypto.getRandomValues(new Uint32Array(1))[0];
  const body = { prompt: graphOf(part("text").value, seed), client_id: clientId };
  let answer;
  try {
    answer = await fetch("/prompt", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers() },
      body: JSON.stringify(body),
    });
  } catch {
    stop("The server cannot be reached.", true);
    return;
  }
  const told = await answer.json();
  if (!answer.ok) {
    stop(`${told.error.message} ${told.error.details}`.trim(), true);
    return;
  }
  state.promptId = told.prompt_id;
  say("Waiting for a worker.", null);
  // Frames may have come before the answer that says which of them are ours.
  for (const frame of state.early.splice(0)) hear(frame);
}

function hear(frame) {
  const { type, data } = frame;
  if (type === "status") {
    const open = data.status.exec_info.queue_remaining;
    part("state").textContent = open ? `Connected. Open prompts: ${open}.` : "Connected. Idle.";
    return;
  }
  if (!state.promptId) {
    state.early.push(frame);
    return;
  }
  if (data.prompt_id !== state.promptId) return;
  if (type === "executing" && data.node) say(`Working: ${nodeName(data.node)}.`, null);
  if (type === "progress") say(`Working: ${nodeName(data.node)}.`, data.value / data.max);
  if (type === "executed" && data.output.images) show(data.output.images[0]);
  if (type === "execution_success") stop("Done.");
  if (type === "execution_interrupted") stop("Cancelled.", true);
  if (type === "execution_error") stop(data.exception_message, true);
}

function nodeName(id) {
  return (state.graph[id] && state.graph[id].class_type) || id;
}

async function show(image) {
  const query = new URLSearchParams(image);
  const answer = await fetch(`/view?${query}`, { headers: headers() });
  if (!answer.ok) return;
  if (state.url) URL.revokeObjectURL(state.url);
  state.url = URL.createObjectURL(await answer.blob());
  const picture = part("picture");
  picture.src = state.url;
  picture.alt = part("text").value;
  picture.hidden = false;
}

function say(text, fraction) {
  part("told").textContent = text;
  const bar = part("progress");
  bar.hidden = false;
  if (fraction === null) bar.removeAttribute("value");
  else bar.value = fraction;
}

function stop(text, failed = false) {
  part("told").textContent = failed ? `It did not work: ${text}` : text;
  part("progress").hidden = true;
  part("go").disabled = !state.graph;
}

begin();
