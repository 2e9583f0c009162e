// What stands out of the window to the right, and is not inside something that scrolls.
() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide + 1) return [];
  const hides = (e) => ["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX);
  const scrolls = (e) => e && (hides(e) || scrolls(e.parentElement));
  const out = [...document.querySelectorAll("article *")].filter(
    (e) => e.getBoundingClientRect().right > wide + 1 && !scrolls(e.parentElement),
  );
  return [`${document.documentElement.scrollWidth} > ${wide}`, ...out.slice(0, 3).map((e) => e.outerHTML.slice(0, 120))];
};
