// Calls to this lab's own server; it holds the token for the platform's services.
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { currentLanguage, say } from './text';

/** core.wire.LabWarning */
export interface ILabWarning {
  id: string;
  reason: string;
  seconds_left: number;
  message: string;
}

/** core.wire.LabStatus, and what the lab was started for. */
export interface ILabStatus {
  gpu: string;
  simulated: boolean;
  seconds_left: number | null;
  stop_reason: string;
  budget_gpu_seconds: number;
  warnings: ILabWarning[];
  /** Names this answer; the service answers again when there is another one. */
  mark?: string;
  course: string;
  lab: string;
  cohort: string;
  assignment: string;
}

/** grader.exchange.client.Receipt */
export interface IReceipt {
  id: string;
  assignment: string;
  attempt: number;
  sha256: string;
  size: number;
  received_at: string;
  late: boolean;
}

/** One submitted version: its receipt, and what came back. */
export interface ISubmission extends IReceipt {
  notebooks: string[];
  /** Notebooks with released feedback. */
  feedback: Record<string, string>;
  score: { score: number; max_score: number; late_penalty: number } | null;
}

/** A published assignment as the grader service lists it, with its folder in this lab. */
export interface IAssignment {
  course: string;
  assignment: string;
  title: string;
  due: string | null;
  close: string | null;
  attempts: number | null;
  notebooks: string[];
  /** Below the home; empty: not fetched. */
  folder: string;
  submissions: ISubmission[];
}

/** What the visible tests of one notebook said. */
export interface IValidated {
  name: string;
  passed: boolean;
  failed: { source: string; error: string }[];
  changed: string[];
}

/** Every answer about coursework: what was asked for, or why not in the reader's language. */
export interface IAnswer {
  error?: string;
  assignments?: IAssignment[];
  current?: string;
  folder?: string;
  kept?: string;
  receipt?: IReceipt;
  notebooks?: IValidated[];
}

/** The platform refused with a sentence for the reader. */
export class Refused extends Error {}

function address(path: string, query: Record<string, string> = {}): string {
  const base = ServerConnection.makeSettings().baseUrl;
  const words = URLExt.objectToQueryString({ lang: currentLanguage(), ...query });
  return URLExt.join(base, 'dli-lab', path) + words;
}

async function call<T>(
  path: string,
  method: string,
  body?: unknown,
  query?: Record<string, string>
): Promise<T> {
  const settings = ServerConnection.makeSettings();
  const url = address(path, query);
  const init: RequestInit = { method };
  if (method !== 'GET') {
    init.body = JSON.stringify(body ?? {});
  }
  const response = await ServerConnection.makeRequest(url, init, settings);
  if (response.status === 409) {
    throw new Refused((await response.json()).message);
  }
  if (!response.ok) {
    throw new ServerConnection.ResponseError(response);
  }
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** `stopped`: the Hub says that it does not run. `away`: nobody says anything. */
export type There = 'here' | 'stopped' | 'away';

/** Whether this lab's server answers. */
export async function askWhetherThere(): Promise<There> {
  const settings = ServerConnection.makeSettings();
  try {
    const url = URLExt.join(settings.baseUrl, 'api');
    const response = await ServerConnection.makeRequest(url, {}, settings);
    if (response.status === 424) {
      return 'stopped';
    }
    return response.status >= 500 ? 'away' : 'here';
  } catch {
    return 'away';
  }
}

/**
 * Sign this page in at the lab again: one that was started anew does not know its cookie. A frame
 * follows the redirects over the Hub, which a call could not where labs have a host of their own.
 */
export function signInAgain(): Promise<void> {
  return new Promise(done => {
    const frame = document.createElement('iframe');
    frame.hidden = true;
    frame.title = 'sign-in';
    const end = (): void => {
      frame.remove();
      done();
    };
    frame.onload = end;
    setTimeout(end, 20_000);
    frame.src = address('signed-in');
    document.body.append(frame);
  });
}

/** At once, or, with the `mark` of the last answer, when something has changed. */
export const getStatus = (known: string): Promise<ILabStatus> =>
  call('status', 'GET', undefined, known ? { known } : {});

export const markSeen = (id: string): Promise<void> =>
  call(`warnings/${encodeURIComponent(id)}/seen`, 'POST');

export const askForMore = (minutes: number, note: string): Promise<void> =>
  call('requests', 'POST', { minutes, note });

export type Action = 'fetch' | 'validate' | 'submit' | 'restore';

export const getAssignments = (): Promise<IAnswer> => call('assignments', 'GET');

/** Do something with an assignment. Never throws: what went wrong is `error`. */
export async function act(
  course: string,
  assignment: string,
  action: Action,
  body?: unknown
): Promise<IAnswer> {
  const path = ['assignments', course, assignment, action].map(encodeURIComponent).join('/');
  try {
    return await call(path, 'POST', body);
  } catch {
    return { error: say('That did not work. Please try again.') };
  }
}

export const feedbackAddress = (submission: string, notebook: string): string =>
  address(['submissions', submission, 'feedback', notebook].map(encodeURIComponent).join('/'));
