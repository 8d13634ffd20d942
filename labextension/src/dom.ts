// Small parts of pages. Text goes in as text, never as markup.

/** A button with words. */
export function button(text: string, press: () => void, kind = ''): HTMLButtonElement {
  const made = document.createElement('button');
  made.type = 'button';
  made.className = `dli-Button ${kind}`.trim();
  made.textContent = text;
  made.addEventListener('click', press);
  return made;
}

/** An element with text. */
export function element<K extends keyof HTMLElementTagNameMap>(
  kind: K,
  text = '',
  className = ''
): HTMLElementTagNameMap[K] {
  const made = document.createElement(kind);
  made.textContent = text;
  made.className = className;
  return made;
}
