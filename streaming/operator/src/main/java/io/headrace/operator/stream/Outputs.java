package io.headrace.operator.stream;

import org.apache.flink.util.OutputTag;

/** What leaves an operator beside its main output. */
public final class Outputs {
    /** Records that can't be used, with the reason. */
    public static final OutputTag<OutRecord> DEAD = new OutputTag<>("dead-letters", Types.RECORD);

    /** Events that came late, twice or to a full state. */
    public static final OutputTag<OutRecord> LATE = new OutputTag<>("late-events", Types.RECORD);

    /** Flagged decisions, as soon as they are made. */
    public static final OutputTag<OutRecord> ALERTS = new OutputTag<>("alerts", Types.RECORD);

    /** Fields of the online state that have changed. */
    public static final OutputTag<OutRecord> UPDATES =
            new OutputTag<>("feature-updates", Types.RECORD);

    private Outputs() {}
}
