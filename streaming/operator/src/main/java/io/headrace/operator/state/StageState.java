package io.headrace.operator.state;

/** All that a stage keeps for one entity: its views, and the dedup keys seen lately. */
public final class StageState {
    /** The timer of an entity that waits for none. */
    public static final long NO_TIMER = Long.MIN_VALUE;

    /** When the next timer of the entity is due, event time in ms. */
    public long timer = NO_TIMER;

    /** For each source the partitions that had events of the entity, a bit for each. */
    public final long[] partitions;

    final ViewState[] views;
    final SeenKeys[] seen;

    StageState(ViewState[] views, SeenKeys[] seen) {
        this.views = views;
        this.seen = seen;
        partitions = new long[seen.length];
    }

    /**
     * Where the parts of a large state are; to be said before the state is used.
     *
     * @param chunks those of each view's events, by its place
     * @param keys those of each source's keys, by its place
     */
    public void bind(ChunkStore[] chunks, ChunkStore[] keys) {
        for (int place = 0; place < views.length; place++) {
            views[place].raw.bind(chunks[place]);
        }
        for (int place = 0; place < seen.length; place++) {
            seen[place].bind(keys[place]);
        }
    }

    /** Stores what was changed of these parts; a state that isn't released has changed nothing. */
    public void release() {
        for (ViewState view : views) {
            view.raw.release();
        }
        for (SeenKeys keys : seen) {
            keys.release();
        }
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
