// Opens pages in Chromium and prints as JSON what is wrong with each, at each width and colour scheme.
// node check.js CHROMIUM PAGE...
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const [executablePath, ...pages] = process.argv.slice(2);
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox"] });
const found = [];
for (const page of pages) {
  for (const [width, scheme] of [[390, "light"], [390, "dark"], [1400, "light"], [1400, "dark"]]) {
    found.push({ page, width, scheme, ...(await look(page, width, scheme)) });
  }
}
await browser.close();
console.log(JSON.stringify(found));

async function look(file, width, scheme) {
  const tab = await browser.newPage();
  const errors = [], outside = [];
  tab.on("console", (message) => errors.push(`${message.type()}: ${message.text()}`));
  tab.on("pageerror", (error) => errors.push(error.message));
  tab.on("requestfailed", (request) => errors.push(`failed: ${request.url()}`));
  tab.on("request", (request) => {
    if (!/^(data:|file:.*\.html$)/.test(request.url())) outside.push(request.url());
  });
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await tab.setViewport({ width, height: 900 });
  await tab.goto(pathToFileURL(file).href, { waitUntil: "load" });
  const folded = await overflow(tab);
  await tab.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
  const unfolded = await overflow(tab);
  const images = await tab.$$eval("img", (all) => all.filter((one) => !one.naturalWidth).length);
  const explained = await explain(tab);
  await tab.addScriptTag({ path: axe });
  const violations = await tab.evaluate(async () => {
    const result = await axe.run({ resultTypes: ["violations"] });
    return result.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes[0].html.slice(0, 300)}`);
  });
  await tab.close();
  return { errors, outside, folded, unfolded, images, explained, violations };
}

// By how many pixels the page is wider than the window.
function overflow(tab) {
  return tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
}

// Whether a marked word shows its explanation when it is pressed, and where it stands is to be seen.
async function explain(tab) {
  await tab.$eval("dfn button", (one) => one.click());
  return tab.$eval("[popover]:popover-open", (one) => {
    const box = one.getBoundingClientRect();
    const isSeen = box.left >= 0 && box.right <= innerWidth && box.height > 20;
    one.hidePopover();
    return isSeen ? one.textContent : "";
  });
}
