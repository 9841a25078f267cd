package io.headrace.operator.decode;

/** Stands for a value that its column can't hold, with what to say about it. */
record Unfit(String shown, boolean tooLong) {
    private static final int LONGEST_SHOWN = 60;

    /** There is no such field. */
    static final Unfit MISSING = new Unfit("", false);

    /** A value of another type. */
    static Unfit of(String shown) {
        return new Unfit(shortened(shown), false);
    }

    /** An integer that needs more than 64 bits. */
    static Unfit tooLong(String digits) {
        return new Unfit(shortened(digits), true);
    }

    static String shortened(String text) {
        return text.length() <= LONGEST_SHOWN ? text : text.substring(0, LONGEST_SHOWN) + "…";
    }
}
