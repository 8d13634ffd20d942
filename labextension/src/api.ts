// Calls to this lab's own server; it holds the token for the platform's services.
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { currentLanguage } from './text';

/** core.wire.LabWarning */
export interface ILabWarning {
  id: string;
  reason: string;
  seconds_left: number;
  message: string;
}

/** core.wire.LabStatus, and the lab's assignment. */
export interface ILabStatus {
  gpu: string;
  simulated: boolean;
  seconds_left: number | null;
  stop_reason: string;
  budget_gpu_seconds: number;
  warnings: ILabWarning[];
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

export interface ISubmitAnswer {
  receipt?: IReceipt;
  error?: string;
}

/** The platform refused with a sentence for the reader. */
export class Refused extends Error {}

async function call<T>(path: string, method: string, body?: unknown): Promise<T> {
  const settings = ServerConnection.makeSettings();
  const url =
    URLExt.join(settings.baseUrl, 'dli-lab', path) + `?lang=${currentLanguage()}`;
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

export const getStatus = (): Promise<ILabStatus> => call('status', 'GET');

export const markSeen = (id: string): Promise<void> =>
  call(`warnings/${encodeURIComponent(id)}/seen`, 'POST');

export const askForMore = (minutes: number, note: string): Promise<void> =>
  call('requests', 'POST', { minutes, note });

export const submit = (): Promise<ISubmitAnswer> => call('submit', 'POST');
