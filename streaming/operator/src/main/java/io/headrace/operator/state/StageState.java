package io.headrace.operator.state;

/** All that a stage keeps for one entity: its views, and the dedup keys seen lately. */
public final class StageState {
    /** The timer of an entity that waits for none. */
    public static final long NO_TIMER = Long.MIN_VALUE;

    /** When the next timer of the entity is due, event time in ms. */
    public long timer = NO_TIMER;

    /** For each source the partitions that had events of the entity, a bit for each. */
    public final long[] partitions;

    // Whether another state has taken over what this one holds: only what was written is left.
    private boolean handedOver;

    /**
     * A state as it is written.
     *
     * @param uses how often the state had been used
     * @param bytes what was written then
     */
    record Written(long uses, byte[] bytes) {}

    private long uses;
    // Of whoever wrote it last, in whatever thread: it counts only if the state is as it was then.
    private Written written;

    final ViewState[] views;
    final SeenKeys[] seen;
    // Which plan the places of views and sources are of.
    final StageLayout layout;

    StageState(StageLayout layout, ViewState[] views, SeenKeys[] seen) {
        this(layout, views, seen, new long[seen.length]);
    }

    private StageState(StageLayout layout, ViewState[] views, SeenKeys[] seen, long[] partitions) {
        this.layout = layout;
        this.views = views;
        this.seen = seen;
        this.partitions = partitions;
    }

    /**
     * A state that takes over what this one holds, of which only what was written is left.
     *
     * <p>To be said by whoever has the lock on this state and knows that it was written.
     */
    StageState handOver() {
        StageState heir = new StageState(layout, views, seen, partitions);
        heir.timer = timer;
        handedOver = true;
        return heir;
    }

    boolean isHandedOver() {
        return handedOver;
    }

    /** Where the chunks of each view are, by its place; to be said before the state is used. */
    public void bind(ChunkStore[] stores) {
        if (handedOver) {
            throw new IllegalStateException("this state was handed over to a copy");
        }
        uses++;
        written = null;
        for (int place = 0; place < views.length; place++) {
            views[place].raw.bind(stores[place]);
        }
    }

    /** Stores what was changed of chunks; to be said after the state was used. */
    public void release() {
        for (ViewState view : views) {
            view.raw.release();
        }
    }

    /** What was written of the state, unless it was used since; else null. */
    byte[] written() {
        Written last = written;
        return last != null && last.uses == uses ? last.bytes : null;
    }

    /** Keeps what was written of the state until it is used. */
    void keep(byte[] bytes) {
        written = new Written(uses, bytes);
    }

    /** The state of the view at a place of the stage. */
    public ViewState view(int place) {
        return views[place];
    }

    /** The keys seen of the source at a place of the plan. */
    public SeenKeys seen(int place) {
        return seen[place];
    }
}
