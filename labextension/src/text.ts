// Texts in the reader's language. The catalogues are dli_lab/locale/*/LC_MESSAGES/messages.po;
// the build turns them into messages.json.
import messages from './messages.json';

type Catalogue = Record<string, string>;

let language = 'en';

/** Follow JupyterLab's language ('ko_KR', 'default', …). */
export function useLanguage(code: string): void {
  const wanted = code.slice(0, 2).toLowerCase();
  language = wanted === 'ko' ? 'ko' : 'en';
}

/** The language of texts asked of the server. */
export function currentLanguage(): string {
  return language;
}

/** `message` in the reader's language, its {name} fields filled in. */
export function say(message: string, values: Record<string, string | number> = {}): string {
  const catalogue = (messages as Record<string, Catalogue>)[language] ?? {};
  const text = catalogue[message] || message;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}
