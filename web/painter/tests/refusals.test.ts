import { describe, expect, test } from "vitest";
import { plainly, type Refusal, retryOf } from "../src/logic/refusals";
import { texts } from "../src/texts";

const say = (part: Partial<Refusal>): string =>
  plainly({ status: 400, type: "", message: "", field: "", retrySeconds: null, ...part });
const words = texts.refusals;

describe("every no has plain words", () => {
  test.each([
    [0, "", words.offline],
    [401, "unauthorized", words.signIn],
    [402, "insufficient_credits", words.credits],
    [403, "content_blocked", words.blocked],
    [404, "not_found", words.gone],
    [413, "too_large", words.tooLarge],
    [429, "queue_full", words.busy],
    [429, "daily_limit_reached", words.quota],
    [500, "internal", words.unknown],
    [503, "busy", words.unavailable],
    [418, "", words.unknown],
  ])("%d %s", (status, type, told) => expect(say({ status, type })).toBe(told));

  test("the service's own sentence is shown where it names the choice", () => {
    expect(say({ type: "invalid_field", message: "width is at most 1024" })).toBe(
      "Width is at most 1024.",
    );
    expect(say({ status: 403, type: "tier_limit_exceeded", message: "One at a time!" })).toBe(
      "One at a time!",
    );
  });

  test.each([
    [1, "1 second."],
    [30.2, "31 seconds."],
    [600, "10 minutes."],
    [30_000, "9 hours."],
  ])("after %d seconds: try again in %s", (retrySeconds, told) => {
    expect(say({ status: 429, type: "daily_limit_reached", retrySeconds })).toBe(
      `${words.quota} Try again in ${told}`,
    );
  });

  test("Retry-After is a number, a date, or nothing", () => {
    const now = Date.parse("2026-11-25T20:00:00Z");
    expect(retryOf("7", now)).toBe(7);
    expect(retryOf("Wed, 25 Nov 2026 20:01:00 GMT", now)).toBe(60);
    expect(retryOf("soon", now)).toBeNull();
    expect(retryOf(null, now)).toBeNull();
  });
});
