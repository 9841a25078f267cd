package io.headrace.operator.state;

/** All that a stage keeps for one entity: its views, and the dedup keys seen lately. */
public final class StageState {
    final ViewState[] views;
    final SeenKeys[] seen;

    StageState(ViewState[] views, SeenKeys[] seen) {
        this.views = views;
        this.seen = seen;
    }

    /** The state of the view at a place of the stage. */
    public ViewState view(int place) {
        return views[place];
    }

    /** The keys seen of the source at a place of the stage. */
    public SeenKeys seen(int place) {
        return seen[place];
    }
}
