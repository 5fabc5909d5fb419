/**
 * Requests of which only the newest matters: one is under way at a time, and of those that come
 * meanwhile the last one follows. A slow server shows fewer moments, and never an old one after a
 * new one.
 * @template Wanted, Answer
 */
export class Latest {
  /**
   * @param {(wanted: Wanted) => Promise<Answer>} load
   * @param {(answer: Answer, wanted: Wanted) => void} show
   * @param {(error: unknown) => void} fail
   */
  constructor(load, show, fail) {
    this.load = load;
    this.show = show;
    this.fail = fail;
    /** @type {{wanted: Wanted} | null} */
    this.next = null;
    this.isBusy = false;
  }

  /** @param {Wanted} wanted */
  async ask(wanted) {
    this.next = { wanted };
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      while (this.next) {
        const current = this.next.wanted;
        this.next = null;
        await this.answer(current);
      }
    } finally {
      this.isBusy = false;
    }
  }

  /** @param {Wanted} wanted */
  async answer(wanted) {
    try {
      this.show(await this.load(wanted), wanted);
    } catch (error) {
      this.fail(error);
    }
  }
}
