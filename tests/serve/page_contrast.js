// WCAG 2.2, 1.4.3 and 1.4.11, on what is drawn: the contrast of each text, placeholder and edge with the grounds
// behind it; `wrong` holds those below 4.5 (text) or 3 (edges), `texts` is how many were looked at.
() => {
  const parse = (text) => {
    const numbers = text.match(/[\d.]+/g).map(Number);
    return { rgb: numbers.slice(0, 3), alpha: numbers[3] ?? 1 };
  };
  const over = (top, below) => top.rgb.map((part, i) => part * top.alpha + below[i] * (1 - top.alpha));
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      layers.push(parse(getComputedStyle(one).backgroundColor));
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const seen = (element) =>
    element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) &&
    !element.closest(".unseen, .portrait");
  const wrong = [];
  let texts = 0;
  const judge = (colour, behind, least, what) => {
    const found = ratio(over(parse(colour), behind), behind);
    if (found < least) wrong.push(`${found.toFixed(2)}: ${what}`);
  };

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const words = walker.currentNode.data.trim();
    const element = walker.currentNode.parentElement;
    if (!words || !seen(element)) continue;
    texts += 1;
    const style = getComputedStyle(element);
    judge(element.closest("svg") ? style.fill : style.color, ground(element), 4.5, words.slice(0, 40));
  }
  const edged = "input[placeholder], input[type=text], select, .button:not(.quiet):not(:disabled), .zone";
  for (const one of document.querySelectorAll(edged)) {
    if (!seen(one)) continue;
    const [own, behind] = [ground(one), ground(one.parentElement)];
    // A filled button is seen by its ground, an outlined one by its edge.
    if (ratio(own, behind) < 3) {
      judge(getComputedStyle(one).borderTopColor, behind, 3, `the edge of ${one.outerHTML.slice(0, 60)}`);
    }
    if (one.placeholder) judge(getComputedStyle(one, "::placeholder").color, own, 4.5, one.placeholder);
  }
  return { texts, wrong };
};
