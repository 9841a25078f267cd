package io.headrace.operator.decode;

/**
 * Stands for a value that its column can't hold, with what to say about it.
 *
 * @param overflow the sign of an integer that needs more than 64 bits, else 0
 */
record Unfit(String shown, int overflow) {
    /** There is no such field. */
    static final Unfit MISSING = new Unfit("", 0);

    /** A value of another type. */
    static Unfit of(String shown) {
        return new Unfit(shown, 0);
    }

    /** An integer that needs more than 64 bits. */
    static Unfit tooLong(String digits) {
        return new Unfit(Shown.tooLong(digits), digits.startsWith("-") ? -1 : 1);
    }
}
