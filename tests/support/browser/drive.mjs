// Opens the Control UI in a real browser and uses it as a person does. Reads a plan as JSON from standard
// input and writes what it saw to standard output, one line of JSON for each visit:
//
//   plan   {"chromium": FILE, "playwright": FOLDER, "screenshots": FOLDER, "patience": MILLISECONDS, "visits": […]}
//   visit  {"name", "page": URL, "gateway": "ws://…", "token", "question", "answer", "profile": FOLDER, "earlier",
//          "undone"}
//   line   {"name", "milliseconds", "reply"} or {"name", "milliseconds", "refusal", "shown"}
//
// Each visit leaves a screenshot, and has a fresh profile unless it names one. A visit with a question sends it and
// waits for a message that contains the answer; without a token, its page has to log in by itself. "earlier" is an
// answer that the page has to show before, and "undone" one that it must not show. A visit without a question waits
// until the gateway refuses the token: "refusal" is the gateway's own code, "shown" is the text on the page. Exits with
// 1 at the first visit that fails.
import { mkdir, rm } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const plan = JSON.parse(await text(process.stdin));
const { chromium } = await import(pathToFileURL(`${plan.playwright}/index.mjs`));

const FLAGS = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-gpu",
  "--disable-quic",
  "--disable-sync",
  "--no-first-run",
];
const LAUNCH = { executablePath: plan.chromium, chromiumSandbox: false, args: FLAGS, timeout: plan.patience };

// Resolves with the gateway's response to the first `connect` request that carries this token.
function verdict(page, { gateway, token }) {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error("the gateway did not respond to the token")), plan.patience).unref();
    page.on("websocket", (socket) => {
      if (new URL(socket.url()).host !== new URL(gateway).host) return;
      const requests = new Set();
      socket.on("framesent", ({ payload }) => {
        const frame = JSON.parse(payload);
        if (frame.method === "connect" && frame.params.auth?.token === token) requests.add(frame.id);
      });
      socket.on("framereceived", ({ payload }) => {
        const frame = JSON.parse(payload);
        if (requests.has(frame.id)) resolve(frame);
      });
    });
  });
}

async function connect(page, visit) {
  const responded = verdict(page, visit);
  await page.goto(visit.page);
  const secret = page.getByRole("textbox", { name: "Gateway secret" });
  // If the gateway refuses the origin, the page collapses the fields.
  const change = page.getByText("Change", { exact: true });
  await secret.or(change).first().waitFor();
  if (!(await secret.isVisible())) await change.click();
  await page.getByRole("textbox", { name: "Gateway URL" }).fill(visit.gateway);
  await secret.fill(visit.token);
  await page.getByRole("button", { name: "Connect", exact: true }).click();
  return responded;
}

// The page accepts input before it has loaded the chat and may lose it, so try again.
async function send(page, question) {
  const composer = page.getByRole("textbox", { name: "Chat composer" });
  const sent = page.getByRole("log").getByText(question, { exact: true }).first();
  await composer.waitFor();
  await page.getByRole("status", { name: "Loading chat" }).waitFor({ state: "hidden" });
  const end = Date.now() + plan.patience;
  for (;;) {
    await composer.fill(question);
    await composer.press("Enter");
    try {
      return await sent.waitFor({ timeout: Math.min(plan.patience, 60000) });
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}

async function ask(page, visit) {
  if (visit.token) {
    const { ok, error } = await connect(page, visit);
    if (!ok) throw new Error(`the gateway refuses: ${error.message}`);
  } else {
    await page.goto(visit.page);
  }
  if (visit.earlier) await page.getByRole("log").getByText(visit.earlier).first().waitFor();
  await send(page, visit.question);
  const reply = page.getByRole("log").getByText(visit.answer).first();
  await reply.waitFor();
  if (visit.undone && (await page.getByRole("log").getByText(visit.undone).count()) > 0) {
    throw new Error(`the page shows ${visit.undone}`);
  }
  return { reply: await reply.innerText() };
}

async function beRefused(page, visit) {
  const { ok, error } = await connect(page, visit);
  if (ok) throw new Error("the gateway accepts the token");
  await page.getByText("Raw error").click();
  await page.getByText(error.message).waitFor();
  return { refusal: error.details.code, shown: await page.getByRole("status").innerText() };
}

async function perform(browser, visit) {
  const began = Date.now();
  const context = await (visit.profile
    ? chromium.launchPersistentContext(visit.profile, LAUNCH)
    : browser.newContext());
  context.setDefaultTimeout(plan.patience);
  const page = await context.newPage();
  const log = [];
  page.on("console", (message) => log.push(`${message.type()}: ${message.text()}`));
  page.on("requestfailed", (request) => log.push(`${request.url()}: ${request.failure().errorText}`));
  try {
    const seen = await (visit.question ? ask : beRefused)(page, visit);
    console.log(JSON.stringify({ name: visit.name, milliseconds: Date.now() - began, ...seen }));
  } catch (error) {
    console.error([visit.name, error.stack, await page.locator("body").ariaSnapshot(), ...log].join("\n"));
    process.exitCode = 1;
  }
  await page.screenshot({ path: `${plan.screenshots}/${visit.name}.png` });
  await context.close();
}

await rm(plan.screenshots, { recursive: true, force: true });
await mkdir(plan.screenshots, { recursive: true });
const browser = await chromium.launch(LAUNCH);
for (const visit of plan.visits) {
  if (!process.exitCode) await perform(browser, visit);
}
await browser.close();
