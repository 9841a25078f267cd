package io.headrace.operator.stream;

import io.headrace.operator.BadRecord;
import io.headrace.operator.plan.DecisionPlan;
import io.headrace.operator.plan.Plan;
import io.headrace.operator.plan.SourcePlan;
import io.headrace.operator.plan.StagePlan;
import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.state.Bounds;
import io.headrace.operator.state.FieldSink;
import io.headrace.operator.state.SeenKeys;
import io.headrace.operator.state.StageState;
import io.headrace.operator.state.ViewEngine;
import io.headrace.operator.state.ViewState;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/** The views of a decision that are about one entity: takes events in and answers for them. */
final class Stage {
    private static final List<ViewInput> NONE = List.of();

    /** What becomes of events, told as it happens. */
    interface Witness {
        /** Takes the fields that an event changes in the online state of a view. */
        FieldSink changes(Envelope event, int view, long sequence);

        /** An event was not taken in as usual; the view is null where it is about all of them. */
        void ledgered(Envelope event, ViewPlan view, String reason, long sequence);

        /** An event makes the views fail: it says why. */
        void failed(Envelope event);
    }

    private final List<SourcePlan> sources;
    private final List<ViewPlan> views;
    private final List<ViewEngine> engines;
    private final ViewInput[] inputs;
    // What makes a later stage fail has to be found before this one takes the event in.
    private final List<ViewInput> inputsOfLaterStages;
    private final int[] dedupPlaces;
    private final int[] viewSources;
    private final int[] firstValue;
    private final int firstView;
    private final int allValues;
    private final int allViews;
    private final int driver;
    private final boolean firstStage;
    private final Bounds bounds;

    Stage(Plan plan, int decisionPlace, int stagePlace, Bounds bounds) {
        this.bounds = bounds;
        sources = plan.sources();
        DecisionPlan decision = plan.decisions().get(decisionPlace);
        StagePlan stage = decision.stages().get(stagePlace);
        firstStage = stagePlace == 0;
        views = stage.views().stream().map(plan::view).toList();
        engines = views.stream().map(view -> new ViewEngine(view, bounds)).toList();
        driver = plan.sourcePlace(decision.source());
        dedupPlaces = sources.stream().mapToInt(SourcePlan::dedupPlace).toArray();
        viewSources = views.stream().mapToInt(v -> plan.sourcePlace(v.source())).toArray();
        inputs = new ViewInput[views.size()];
        firstValue = new int[views.size()];
        List<ViewPlan> all = plan.views(decision);
        allViews = all.size();
        allValues = valuesOf(all);
        // The views of a stage stand together.
        firstView = all.indexOf(views.get(0));
        inputsOfLaterStages =
                all.stream()
                        .skip(firstView + (long) views.size())
                        .filter(view -> plan.sourcePlace(view.source()) == driver)
                        .map(view -> new ViewInput(sources.get(driver), view))
                        .toList();
        int value = valuesOf(all.subList(0, firstView));
        for (int v = 0; v < views.size(); v++) {
            inputs[v] = new ViewInput(sources.get(viewSources[v]), views.get(v));
            firstValue[v] = value;
            value += views.get(v).features().size();
        }
    }

    private static int valuesOf(List<ViewPlan> views) {
        return views.stream().mapToInt(view -> view.features().size()).sum();
    }

    List<ViewPlan> views() {
        return views;
    }

    /** Takes an event into the views of its source; whether it is one to be answered. */
    boolean absorb(StageState state, Envelope event, Witness witness) {
        byte[] dedup = dedup(event);
        boolean asks = event.source == driver;
        if (!asks || firstStage) {
            switch (noted(state, event, dedup)) {
                case KNOWN -> {
                    witness.ledgered(event, null, "duplicate", -1);
                    return false;
                }
                case CROWDED -> witness.ledgered(event, null, "keys_full", -1);
                case NEW -> {}
            }
        }
        Object[][] taken = new Object[inputs.length][];
        try {
            for (int v = 0; v < inputs.length; v++) {
                taken[v] = viewSources[v] == event.source ? inputs[v].values(event.row) : null;
            }
            for (ViewInput later : asks ? inputsOfLaterStages : NONE) {
                later.values(event.row);
            }
        } catch (BadRecord bad) {
            state.seen(event.source).remove(event.available, dedup);
            event.reason = bad.reason();
            event.message = bad.getMessage();
            witness.failed(event);
            return false;
        }
        if (asks) {
            prepare(event);
        }
        for (int v = 0; v < inputs.length; v++) {
            if (asks) {
                boolean late = engines.get(v).isLate(state.view(v), event.time);
                event.statuses[firstView + v] = late ? Envelope.LATE : Envelope.COMPLETE;
            }
            if (taken[v] != null) {
                absorb(state.view(v), v, event, dedup, taken[v], witness);
            }
        }
        return asks;
    }

    private void absorb(
            ViewState held, int v, Envelope event, byte[] dedup, Object[] values, Witness witness) {
        ViewEngine view = engines.get(v);
        // What becomes known long after it happened is not late for that.
        boolean late = event.available == event.time && view.isLate(held, event.time);
        FieldSink changes = witness.changes(event, v, held.sequence() + 1);
        ViewEngine.Absorption became =
                view.absorb(held, event.time, event.available, dedup, values, changes);
        if (became != ViewEngine.Absorption.ABSORBED) {
            String reason = became == ViewEngine.Absorption.FULL ? "state_full" : "too_old";
            witness.ledgered(event, views.get(v), reason, held.sequence());
        } else if (late) {
            witness.ledgered(event, views.get(v), "late", held.sequence());
        }
    }

    /** Whether the event was seen within the horizon of keys, or is still kept in a view. */
    private SeenKeys.Noted noted(StageState state, Envelope event, byte[] dedup) {
        for (int v = 0; v < inputs.length; v++) {
            if (viewSources[v] == event.source
                    && engines.get(v).holds(state.view(v), event.time, dedup)) {
                return SeenKeys.Noted.KNOWN;
            }
        }
        return state.seen(event.source)
                .add(event.available, dedup, bounds.dedupMs(), bounds.mostEvents());
    }

    private void prepare(Envelope event) {
        if (event.values != null) {
            return;
        }
        event.values = new Object[allValues];
        event.sequences = new long[allViews];
        event.statuses = new byte[allViews];
    }

    /** Puts the values of the stage's views as of an event's time into the event. */
    void answer(StageState state, Envelope event) {
        byte[] dedup = dedup(event);
        for (int v = 0; v < inputs.length; v++) {
            ViewState held = state.view(v);
            event.sequences[firstView + v] = held.sequence();
            if (event.statuses[firstView + v] == Envelope.LATE) {
                continue;
            }
            try {
                Object[] found = engines.get(v).values(held, event.time, dedup);
                if (engines.get(v).hideUnknown(held, event.time, found)) {
                    event.statuses[firstView + v] = Envelope.INCOMPLETE;
                } else if (engines.get(v).lacksRefused(held, event.time)) {
                    event.statuses[firstView + v] = Envelope.FULL;
                }
                System.arraycopy(found, 0, event.values, firstValue[v], found.length);
            } catch (BadRecord bad) {
                event.statuses[firstView + v] = Envelope.OVERFLOW;
            }
        }
    }

    /** From when on nothing of a state is needed any more; the greatest long for never. */
    long emptyFrom(StageState state) {
        long empty = Long.MIN_VALUE;
        for (int v = 0; v < engines.size(); v++) {
            long from = engines.get(v).emptyFrom(state.view(v));
            // A view that reaches back without a bound keeps its own.
            if (from != Long.MIN_VALUE && from != Long.MAX_VALUE) {
                empty = Math.max(empty, from + bounds.latenessMs());
            }
        }
        for (int source = 0; source < sources.size(); source++) {
            SeenKeys keys = state.seen(source);
            if (keys.size() > 0) {
                empty = Math.max(empty, keys.newest() + bounds.dedupMs());
            }
        }
        return empty == Long.MIN_VALUE ? Long.MAX_VALUE : empty + 1;
    }

    /** Lets go of everything that is not needed from `emptyFrom` on but the numbers of events. */
    void expire(StageState state) {
        for (int v = 0; v < engines.size(); v++) {
            if (engines.get(v).emptyFrom(state.view(v)) != Long.MAX_VALUE) {
                engines.get(v).expire(state.view(v));
            }
        }
        for (int source = 0; source < sources.size(); source++) {
            state.seen(source).clear();
        }
    }

    /** Facts before questions, by their keys; of one key the one that was appended first. */
    int order(Envelope left, Envelope right) {
        int order = Long.compare(left.time, right.time);
        if (order == 0) {
            order = Integer.compare(sources.get(left.source).rank(), sources.get(right.source).rank());
        }
        if (order == 0) {
            order = Arrays.compareUnsigned(dedup(left), dedup(right));
        }
        if (order == 0) {
            order =
                    Comparator.<Envelope>comparingInt(e -> e.partition)
                            .thenComparingLong(e -> e.offset)
                            .compare(left, right);
        }
        return order;
    }

    private byte[] dedup(Envelope event) {
        String key = (String) event.row[dedupPlaces[event.source]];
        return key.getBytes(StandardCharsets.UTF_8);
    }
}
