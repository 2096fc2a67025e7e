// SDKs read the clock where they please, so it is set for all of them at once.
const RealDate = globalThis.Date;

// Runs `work` while it is `ms` (milliseconds since 1970); one at a time, as the clock is the whole process's.
export async function at(ms, work) {
  globalThis.Date = class extends RealDate {
    constructor(...given) {
      if (given.length > 0) super(...given);
      else super(ms);
    }

    static now() {
      return ms;
    }
  };
  try {
    return await work();
  } finally {
    globalThis.Date = RealDate;
  }
}
