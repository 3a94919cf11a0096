// What is wrong with a page's structure, as sentences: ids used twice, references that point nowhere, headings that
// skip a level, lists that hold something else than items.
() => {
  const found = [];
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of ids.filter((one, index) => ids.indexOf(one) !== index)) found.push(`twice the id ${id}`);
  for (const name of ["for", "aria-labelledby", "aria-describedby"]) {
    for (const one of document.querySelectorAll(`[${name}]`)) {
      for (const id of one.getAttribute(name).split(" ")) {
        if (!document.getElementById(id)) found.push(`${name} points nowhere: ${id}`);
      }
    }
  }
  let last = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const level = Number(heading.tagName[1]);
    if (level > last + 1) found.push(`h${last} is followed by h${level}: ${heading.textContent}`);
    last = level;
  }
  for (const one of document.querySelectorAll("ul > :not(li), ol > :not(li)")) found.push(one.outerHTML);
  return found;
};
