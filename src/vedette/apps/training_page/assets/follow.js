// Keeps the report up to date while it trains, and whole once the training, and with it the server, is gone.
"use strict";

const EVERY_MS = 1000;
const PATIENCE_MS = 5000; // for an answer
const viewer = Math.random().toString(36).slice(2);
let version = null;
let failures = 0;

async function ask(address, options = {}) {
  const answer = await fetch(address, { ...options, signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer;
}

function say(html) {
  const card = document.getElementById("now");
  card.hidden = false;
  card.innerHTML = html; // made by the server, every text in it escaped
}

async function renew() {
  const text = await (await ask("./")).text();
  const page = new DOMParser().parseFromString(text, "text/html");
  const fresh = page.querySelector("main");
  const before = document.getElementById("now");
  fresh.querySelector("#now").replaceWith(before);
  document.querySelector("main").replaceWith(fresh);
  document.title = page.title;
}

// Pictures as part of this page: the server goes when the training does.
async function keepPictures() {
  for (const image of document.images) {
    const own = URL.createObjectURL(await (await ask(image.getAttribute("src"))).blob());
    image.loading = "eager";
    image.src = own;
    await image.decode().catch(() => {}); // what is no picture stays as it is
    if (image.parentElement.tagName === "A") image.parentElement.href = own;
  }
}

async function look() {
  try {
    const now = await (await ask(`now.json?viewer=${viewer}`)).json();
    failures = 0;
    if (version !== null && now.version !== version) await renew();
    version = now.version;
    say(now.html);
    if (now.ended) {
      await keepPictures();
      document.documentElement.dataset.ended = "yes";
      await ask(`seen?viewer=${viewer}`, { method: "POST" });
      return;
    }
  } catch {
    failures += 1;
    if (failures === 3) {
      const status = document.getElementById("status");
      status.classList.remove("live");
      status.textContent = "no answer";
      version = ""; // made anew when it answers again
      say("<p style='margin:0'><b>No answer.</b> The training was stopped, or this computer cannot reach it. " +
        "When it goes on (--resume with the same --show), this page does too.</p>");
    }
  }
  setTimeout(look, EVERY_MS);
}

look();
