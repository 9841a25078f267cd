package io.headrace.operator.state;

import io.headrace.operator.BadRecord;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.plan.WindowPlan;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Absorbs the events of one view into the state of an entity, and answers for a time. */
public final class ViewEngine {
    /** What became of an event. */
    public enum Absorption {
        /** It is in the state. */
        ABSORBED,
        /** Its tile is no longer held: batch has to heal it. */
        TOO_OLD,
        /** The entity has as many single events as it may: batch has to heal it. */
        FULL
    }

    private final ViewPlan view;
    private final Retention retention;
    private final List<Pass> passes;
    private final ChangedFields changed;
    private final int mostEvents;

    /** The engine of a view, for states within bounds. */
    public ViewEngine(ViewPlan view, Bounds bounds) {
        this(view, bounds, TileWidths.CALENDAR, FieldLimits.USUAL);
    }

    /** The same, whose online state has fields of other widths, and of more or fewer events. */
    public ViewEngine(ViewPlan view, Bounds bounds, TileWidths widths, FieldLimits limits) {
        this.view = view;
        mostEvents = bounds.mostEvents();
        retention = new Retention(view, bounds.latenessMs(), widths);
        changed = new ChangedFields(view, widths, limits, retention);
        Map<List<Object>, List<Integer>> together = new LinkedHashMap<>();
        for (int place = 0; place < view.features().size(); place++) {
            FeaturePlan feature = view.features().get(place);
            List<Object> end =
                    List.of(
                            feature.excludeCurrent(),
                            feature.window().delayMs(),
                            WindowSpan.coarseEnd(feature.window()));
            together.computeIfAbsent(end, key -> new ArrayList<>()).add(place);
        }
        passes = together.values().stream().map(places -> new Pass(view, places)).toList();
    }

    /** Whether a time is before the earliest that the state can be asked for. */
    public boolean isLate(ViewState state, long time) {
        return state.clock != ViewState.NO_CLOCK && time < retention.earliest(state);
    }

    /**
     * From when on no window reaches what the state holds: the least long if that is nothing, the
     * greatest for never.
     */
    public long emptyFrom(ViewState state) {
        return state.raw.size() == 0 && state.folded.isEmpty()
                ? Long.MIN_VALUE
                : retention.emptyFrom(state);
    }

    /** Lets go of all events, which no window reaches any more. */
    public void expire(ViewState state) {
        retention.expire(state);
    }

    /** Takes out the values that need events from before their feature was declared. */
    public boolean hideUnknown(ViewState state, long time, Object[] values) {
        boolean hidden = false;
        for (int i = 0; state.knownFrom != null && i < values.length; i++) {
            WindowPlan window = view.features().get(i).window();
            if (Retention.since(window, state, time) < state.knownFrom[i]) {
                values[i] = null;
                hidden = true;
            }
        }
        return hidden;
    }

    /** Whether an event is among those that are kept one by one. */
    public boolean holds(ViewState state, long time, byte[] dedup) {
        return state.raw.find(time, dedup) >= 0;
    }

    /**
     * Takes an event in, and drops and folds what is no longer needed.
     *
     * @param time event time, ms
     * @param available when the event could first be known, ms
     * @param values the view's columns
     * @param sink takes the fields of the online state that the event has changed
     */
    public Absorption absorb(
            ViewState state,
            long time,
            long available,
            byte[] dedup,
            Object[] values,
            FieldSink sink) {
        Absorption became = taken(state, time, available, dedup, values, sink);
        if (became != Absorption.ABSORBED) {
            changed.lacking(state, time, available, sink);
        }
        if (sink.lacksSome()) {
            // A field may hold any events up to now.
            changed.lacking(state, state.clock, state.raw.mostAvailable(), sink);
        }
        return became;
    }

    private Absorption taken(
            ViewState state,
            long time,
            long available,
            byte[] dedup,
            Object[] values,
            FieldSink sink) {
        if (time < state.heldFrom) {
            return Absorption.TOO_OLD;
        }
        if (state.raw.size() >= mostEvents) {
            makeRoom(state, time, sink);
            if (time < state.heldFrom) {
                return Absorption.TOO_OLD;
            }
            if (state.raw.size() >= mostEvents) {
                state.refused = Math.max(state.refused, time);
                return Absorption.FULL;
            }
        }
        boolean alone = changed.standsAlone(state, time);
        int row = state.raw.insert(time, available, dedup, values);
        if (alone) {
            state.raw.setAlone(row);
        }
        state.sequence++;
        state.clock = Math.max(state.clock, time);
        changed.absorbed(state, time, alone, sink);
        changed.close(state, retention.earliest(state), sink);
        retention.apply(state);
        return Absorption.ABSORBED;
    }

    /** Lets go of what is not needed any more once an event of a time has come. */
    private void makeRoom(ViewState state, long time, FieldSink sink) {
        state.clock = Math.max(state.clock, time);
        changed.close(state, retention.earliest(state), sink);
        retention.apply(state);
    }

    /** Whether the values at a time lack events for which there was no room. */
    public boolean lacksRefused(ViewState state, long time) {
        return state.refused != ViewState.NO_CLOCK && retention.reaches(state, time, state.refused);
    }

    /**
     * The values of all features at a time.
     *
     * @param current the dedup key of the event being decided, which is of that time, or null
     * @throws BadRecord a sum is outside int64
     */
    public Object[] values(ViewState state, long time, byte[] current) throws BadRecord {
        Object[] values = new Object[view.features().size()];
        for (Pass pass : passes) {
            pass.evaluate(state, time, current, values);
        }
        return values;
    }
}
