package io.headrace.operator.state;

import io.headrace.operator.plan.ColumnType;
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
    int foldAt = Retention.LEAST_TO_FOLD;

    ViewState(ColumnType[] types) {
        raw = new RawEvents(types);
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
