package io.headrace.operator.state;

import io.headrace.operator.plan.ViewPlan;
import java.util.ArrayList;
import java.util.List;

/** What one entity's state of one view holds. */
public final class ViewState {
    static final long NO_CLOCK = Long.MIN_VALUE / 2;

    final RawEvents raw;
    final List<FoldedTile> folded = new ArrayList<>();
    long sequence;
    long clock = NO_CLOCK;
    long heldFrom = NO_CLOCK;
    long foldedTo = NO_CLOCK;
    long tiledTo = NO_CLOCK;
    long expiredTo = NO_CLOCK;
    // The newest event time of those for which there was no room.
    long refused = NO_CLOCK;
    // The newest event time of those that the online state may lack, and when all were known.
    long lacking = NO_CLOCK;
    long lackingKnown = NO_CLOCK;
    // For each feature; null where all are known for as long as the state reaches back.
    long[] knownFrom;
    int foldAt = Retention.LEAST_TO_FOLD;

    ViewState(ViewPlan view, int chunkEvents) {
        raw = new RawEvents(view, chunkEvents);
    }

    /** How many events were absorbed so far: rises by one with each. */
    public long sequence() {
        return sequence;
    }

    /** The greatest event time that was absorbed; none before the first. */
    public long clock() {
        return clock;
    }

    /** How many events are kept one by one. */
    public int rawEvents() {
        return raw.size();
    }

    /** How many tiles of folded events are kept. */
    public int tiles() {
        return folded.size();
    }
}
