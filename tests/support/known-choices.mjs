// Prints what OpenClaw in /app supports, as JSON: onboarding choices with their provider's variables, and the
// channels.
import { existsSync, readFileSync, readdirSync } from "node:fs";

const dist = "/app/dist";
const json = (file) => (existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {});
const choices = {};
const channels = {};

function add(provider, choice, variables) {
  choices[choice.choiceId] ??= { provider, variables: variables ?? [] };
}

for (const name of readdirSync(`${dist}/extensions`)) {
  const plugin = json(`${dist}/extensions/${name}/openclaw.plugin.json`);
  const variables = Object.fromEntries((plugin.setup?.providers ?? []).map((one) => [one.id, one.envVars]));
  for (const choice of plugin.providerAuthChoices ?? []) add(choice.provider, choice, variables[choice.provider]);
  const channel = json(`${dist}/extensions/${name}/package.json`).openclaw?.channel;
  if (channel) channels[channel.id] = { plugin: null, variables: channel.configuredState?.env?.anyOf ?? [] };
}
for (const entry of json(`${dist}/channel-catalog.json`).entries) {
  const { channel, install } = entry.openclaw;
  const env = channel.configuredState?.env ?? {};
  channels[channel.id] ??= { plugin: install.npmSpec, variables: env.anyOf ?? env.allOf ?? [] };
}
// These modules export only the catalog.
for (const name of readdirSync(dist).filter((name) => /^official-external-provider-catalog-.*\.mjs$/.test(name))) {
  for (const { openclaw } of Object.values(await import(`${dist}/${name}`)).flatMap((value) => value?.entries ?? [])) {
    for (const provider of openclaw.providers ?? []) {
      for (const choice of provider.authChoices ?? []) add(provider.id, choice, provider.envVars);
    }
  }
}
console.log(JSON.stringify({ choices, channels }));
