// Which key, with which others held, gives a character on the keyboard that a guest believes to have.
const CODES = [
  "Backquote", ...[..."1234567890"].map((digit) => `Digit${digit}`), "Minus", "Equal",
  ...[..."QWERTYUIOP"].map((letter) => `Key${letter}`), "BracketLeft", "BracketRight",
  ...[..."ASDFGHJKL"].map((letter) => `Key${letter}`), "Semicolon", "Quote", "Backslash",
  "IntlBackslash", ...[..."ZXCVBNM"].map((letter) => `Key${letter}`), "Comma", "Period", "Slash",
];
// Plain and with Shift, in the order of CODES; a space stands for nothing.
const ROWS = {
  us: [
    "`1234567890-=qwertyuiop[]asdfghjkl;'\\ zxcvbnm,./",
    "~!@#$%^&*()_+QWERTYUIOP{}ASDFGHJKL:\"| ZXCVBNM<>?",
  ],
  gb: [
    "`1234567890-=qwertyuiop[]asdfghjkl;'#\\zxcvbnm,./",
    "¬!\"£$%^&*()_+QWERTYUIOP{}ASDFGHJKL:@~|ZXCVBNM<>?",
  ],
  de: [
    "^1234567890ß´qwertzuiopü+asdfghjklöä#<yxcvbnm,.-",
    "°!\"§$%&/()=?`QWERTZUIOPÜ*ASDFGHJKLÖÄ'>YXCVBNM;:_",
  ],
  fr: [
    "²&é\"'(-è_çà)=azertyuiop^$qsdfghjklmù*<wxcvbn,;:!",
    " 1234567890°+AZERTYUIOP¨£QSDFGHJKLM%µ>WXCVBN?./§",
  ],
};
const THIRD = {
  de: { "@": "KeyQ", "€": "KeyE", "{": "Digit7", "[": "Digit8", "]": "Digit9", "}": "Digit0", "\\": "Minus", "~": "BracketRight", "|": "IntlBackslash", "µ": "KeyM" },
  fr: { "~": "Digit2", "#": "Digit3", "{": "Digit4", "[": "Digit5", "|": "Digit6", "`": "Digit7", "\\": "Digit8", "^": "Digit9", "@": "Digit0", "]": "Minus", "}": "Equal", "€": "KeyE" },
};
// They wait for the next character, so a space follows.
const DEAD = { de: "^´`", fr: "¨~`" };
const NAMED = { "\n": "Enter", "\t": "Tab", " ": "Space" };

export function keysFor(character, layout) {
  if (NAMED[character]) return [{ code: NAMED[character] }];
  const keys = find(character, layout);
  if (keys && DEAD[layout]?.includes(character)) return [keys, { code: "Space" }];
  return keys ? [keys] : [];
}

function find(character, layout) {
  const third = THIRD[layout]?.[character];
  if (third) return { code: third, held: "AltRight" };
  for (const [row, held] of [[0, undefined], [1, "ShiftLeft"]]) {
    const place = [...ROWS[layout][row]].indexOf(character);
    if (place >= 0) return { code: CODES[place], held };
  }
  return null;
}
