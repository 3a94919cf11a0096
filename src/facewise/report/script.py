"""The embedding map's script: which photo a point is, and other ways to lay the points out.

It reads the JSON in the page and changes nothing but the maps; without it the points stand as PCA puts them.
Names are written as text, never as HTML.
"""

from __future__ import annotations

SCRIPT = """
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('maps').textContent);
  for (const root of document.querySelectorAll('.map')) {
    const map = data.maps[Number(root.dataset.map)];
    const svg = root.querySelector('svg.plot'), aside = root.querySelector('aside');
    const dots = [...svg.querySelectorAll('.dot')];
    const told = root.parentElement.querySelector('.how');
    let at = -1, person = -1, points = map.layouts[0].points;
    const dim = () => dots.forEach((dot, i) => {
      dot.classList.toggle('dim', person >= 0 && map.who[i] !== person);
      dot.classList.toggle('on', i === at);
    });
    const show = (i) => {
      if (i < 0 || i === at) return;
      at = i;
      dim();
      svg.appendChild(dots[i]);
      aside.replaceChildren();
      const face = data.faces[map.face[i]];
      if (face) {
        const picture = new Image(112, 112);
        picture.alt = 'Photo of ' + map.names[map.who[i]];
        picture.src = face;
        aside.append(picture);
      }
      const name = document.createElement('b'), key = document.createElement('div');
      name.textContent = map.names[map.who[i]];
      key.className = 'key';
      key.textContent = map.keys[i];
      aside.append(name, key);
    };
    const nearest = (event) => {
      const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
      const x = (event.clientX - box.left) * view.width / box.width;
      const y = (event.clientY - box.top) * view.height / box.height;
      let best = -1, least = 900;
      points.forEach(([a, b], i) => {
        if (person >= 0 && map.who[i] !== person) return;
        const distance = (a - x) ** 2 + (b - y) ** 2;
        if (distance < least) { least = distance; best = i; }
      });
      return best;
    };
    svg.addEventListener('pointermove', (event) => show(nearest(event)));
    svg.addEventListener('pointerdown', (event) => show(nearest(event)));
    svg.addEventListener('focus', () => { if (at < 0) show(0); });
    svg.addEventListener('keydown', (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      let i = at;
      do { i = (i + by + dots.length) % dots.length; } while (person >= 0 && map.who[i] !== person);
      show(i);
    });
    const buttons = [...root.parentElement.querySelectorAll('.switch button')];
    buttons.forEach((button, k) => button.addEventListener('click', () => {
      buttons.forEach((other) => other.setAttribute('aria-pressed', String(other === button)));
      points = map.layouts[k].points;
      told.textContent = map.layouts[k].told;
      dots.forEach((dot, i) => {
        dot.style.transform = `translate(${points[i][0]}px,${points[i][1]}px)`;
      });
    }));
    const chips = [...root.parentElement.querySelectorAll('.chips button')];
    chips.forEach((chip, k) => chip.addEventListener('click', () => {
      person = person === k ? -1 : k;
      chips.forEach((other, j) => other.setAttribute('aria-pressed', String(person === j)));
      dim();
    }));
  }
})();
"""
