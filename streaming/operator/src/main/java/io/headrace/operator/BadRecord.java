package io.headrace.operator;

/** One record can't be used: it is kept aside with its reason, and the next one is taken. */
public final class BadRecord extends Exception {
    private static final long serialVersionUID = 1L;

    private final String reason;

    /**
     * A refusal.
     *
     * @param reason a code of the contracts, such as "wrong_type"
     * @param message what was found and what was expected
     */
    public BadRecord(String reason, String message) {
        super(message, null, false, false);
        this.reason = reason;
    }

    /** A refusal of a record that makes the operator fail: the job would meet it again for ever. */
    public static BadRecord failed(Throwable failure) {
        return new BadRecord("operator_failed", failure.toString());
    }

    /** The code of the contracts. */
    public String reason() {
        return reason;
    }
}
