package io.headrace.operator.stream;

import org.apache.flink.util.OutputTag;

/** What leaves an operator beside its main output. */
public final class Outputs {
    /** How large a record is made at most: far less than one may be, as the job would be stuck. */
    static final int MOST_BYTES = 4 << 20;

    /** Decisions, whether flagged or not. */
    public static final String DECISIONS = "decisions";

    /** Records that can't be used, with the reason. */
    public static final String DEAD_LETTERS = "dead-letters";

    /** Events that came late, twice or to a full state. */
    public static final String LATE_EVENTS = "late-events";

    /** Fields of the online state that have changed. */
    public static final String FEATURE_UPDATES = "feature-updates";

    /** Flagged decisions, as soon as they are made. */
    public static final OutputTag<OutRecord> ALERTS = new OutputTag<>("alerts", Types.RECORD);

    /**
     * What has time: dead letters, late events and changed fields.
     *
     * <p>In one stream, since each that leaves an operator has a thread that wakes up to send it on.
     */
    public static final OutputTag<OutRecord> ASIDE = new OutputTag<>("aside", Types.RECORD);

    private Outputs() {}
}
