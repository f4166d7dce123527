// Chance with a seed. The same seed gives the same film on every machine, and each step draws from a source of its own:
// so a film that was rewound goes on exactly as it did before.

export function randomFrom(seed, step = 0) {
  let state = (Math.imul(seed + 1, 0x9E3779B1) ^ Math.imul(step + 1, 0x85EBCA77)) >>> 0;
  const uniform = () => {                                    // mulberry32: a number in [0, 1)
    state = (state + 0x6D2B79F5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());   // Box and Muller
  const below = n => Math.floor(n * uniform());              // a whole number, 0 to n - 1
  return {uniform, normal, below};
}
