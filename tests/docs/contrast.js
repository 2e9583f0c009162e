// Text of the article whose contrast with what is painted behind it is below 4.5, or 3 for large text (WCAG 2.2, 1.4.3).
() => {
  const LEFT_OUT = "svg, script, style, .headerlink, .md-clipboard, .md-icon, [hidden], annotation";
  const parse = (colour) => {
    const n = colour.match(/[\d.]+/g).map(Number);
    return colour.startsWith("color(srgb") ? [n[0] * 255, n[1] * 255, n[2] * 255, n[3] ?? 1] : [n[0], n[1], n[2], n[3] ?? 1];
  };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat([1]);
  const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (e) => {
    if (!e) return [255, 255, 255, 1];
    const colour = parse(getComputedStyle(e).backgroundColor);
    return colour[3] === 1 ? colour : over(colour, behind(e.parentElement));
  };
  const found = {}, seen = new Set();
  const walk = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim(), e = walk.currentNode.parentElement;
    if (!text) continue;
    const kind = [e, e.parentElement, e.parentElement.parentElement].map((x) => `${x.tagName}.${x.className}`).join(" ");
    if (seen.has(kind) || e.closest(LEFT_OUT) || !e.checkVisibility()) continue;
    seen.add(kind);
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const back = behind(e), front = over(parse(style.color), back);
    const [low, high] = [luminance(front), luminance(back)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const where = `${e.tagName}.${e.className} ${style.color} on ${back.slice(0, 3).map(Math.round)}`;
    if (ratio < needed) found[where] = `${ratio.toFixed(2)}: ${text.slice(0, 30)}`;
  }
  return found;
};
