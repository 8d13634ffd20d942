// Pure rules of the countdown.
import { say } from './text';

export type Level = 'calm' | 'soon' | 'now';

/** How loudly the status bar speaks: the last ten minutes, the last two. */
export function level(secondsLeft: number | null): Level {
  if (secondsLeft === null || secondsLeft > 600) {
    return 'calm';
  }
  return secondsLeft > 120 ? 'soon' : 'now';
}

/** Time left in words; seconds only in the last two minutes. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 120) {
    return say('{seconds} s', { seconds: whole });
  }
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) {
    return say('{minutes} min', { minutes });
  }
  return say('{hours} h {minutes} min', { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
}
