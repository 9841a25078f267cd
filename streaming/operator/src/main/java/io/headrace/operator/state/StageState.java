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

    /** Where the chunks of each view are, by its place; to be said before the state is used. */
    public void bind(ChunkStore[] stores) {
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

    /** The state of the view at a place of the stage. */
    public ViewState view(int place) {
        return views[place];
    }

    /** The keys seen of the source at a place of the plan. */
    public SeenKeys seen(int place) {
        return seen[place];
    }
}
