// The state of an instrument in the address of its page, `#seed=0&sigma=0.5`, so that a link opens it as it was.
//
// A rule is {read: text -> value or undefined, write: value -> text, wanted: words}. What cannot be read is told and left out.

export function readAddress(text, rules) {
  const state = {}, refused = [];
  for (const [name, value] of new URLSearchParams(text.replace(/^#/, ""))) {
    if (!Object.hasOwn(rules, name)) {
      refused.push(`“${short(name)}” is nothing that this page knows`);
      continue;
    }
    const read = rules[name].read(value);
    if (read === undefined) refused.push(`${name} is “${short(value)}”: give ${rules[name].wanted}`);
    else state[name] = read;
  }
  return { state, refused };
}

export function writeAddress(state, rules) {
  const parts = Object.entries(rules).map(([name, rule]) => [name, rule.write(state[name])]);
  return `#${new URLSearchParams(parts.filter(([, text]) => text !== ""))}`.replaceAll("%2C", ",").replaceAll("%3A", ":");
}

const short = (text) => (text.length > 40 ? `${text.slice(0, 39)}…` : text);

// "1,5" is 1.5; undefined unless it is a number from least to most that can be read in one way
export function readNumber(text, least, most, isWhole = false) {
  const given = text.trim().replaceAll("\u2212", "-"), plain = given.includes(".") ? given : given.replaceAll(",", ".");
  if (clearer(text, isWhole) || !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain)) return undefined;
  const value = Number(plain);
  return value >= least && value <= most && (!isWhole || Number.isInteger(value)) ? value : undefined;
}

// what to write in place of "1,000", which is a thousand or one; so is "1.000" where a whole number is asked for
export function clearer(text, isWhole) {
  const given = text.trim(), mark = isWhole ? "[.,]" : ",";
  if (!new RegExp(`^[+-]?[1-9]\\d{0,2}${mark}\\d{3}$`).test(given)) return "";
  const plain = given.replace(",", "."), other = isWhole ? String(Number(plain)) : plain;
  return `write ${given.replace(/[.,]/, "")}${isWhole && other.includes(".") ? "" : `, or ${other} if that is meant`}`;
}

export const number = (least, most, wanted = `a number from ${least} to ${most}`) => ({
  read: (text) => readNumber(text, least, most), write: String, wanted,
});

export const whole = (least, most, wanted = `a whole number from ${least} to ${most}`) => ({
  read: (text) => readNumber(text, least, most, true), write: String, wanted,
});

export const oneOf = (names) => ({
  read: (text) => (names.includes(text) ? text : undefined), write: String, wanted: `one of ${names.join(", ")}`,
});

// whether it plays from the start
export const playing = { ...oneOf(["", "1"]), wanted: "1, or leave it out" };

// places on the plane, "x,y;x,y"; "" is none
export const places = (most, size) => ({
  read: (text) => {
    const found = text === "" ? [] : text.split(";").map((pair) => pair.split(",").map((part) => readNumber(part, -size, size)));
    return found.length <= most && found.every((pair) => pair.length === 2 && !pair.includes(undefined)) ? found : undefined;
  },
  write: (list) => list.map((pair) => pair.join(",")).join(";"),
  wanted: most === 1 ? `one place such as 1,-0.5, both from ${-size} to ${size}` : `up to ${most} places such as 1,2;-1,0.5, each from ${-size} to ${size}`,
});
