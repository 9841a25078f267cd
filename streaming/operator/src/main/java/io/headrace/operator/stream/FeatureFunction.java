package io.headrace.operator.stream;

import io.headrace.operator.BadRecord;
import io.headrace.operator.plan.DecisionPlan;
import io.headrace.operator.plan.Plan;
import io.headrace.operator.plan.SourcePlan;
import io.headrace.operator.plan.StagePlan;
import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.state.Bounds;
import io.headrace.operator.state.StageLayout;
import io.headrace.operator.state.StageState;
import io.headrace.operator.state.ViewEngine;
import io.headrace.operator.state.ViewState;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeutils.base.ListSerializer;
import org.apache.flink.api.common.typeutils.base.LongSerializer;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * One stage of a decision: absorbs the events of an entity and answers with its features.
 *
 * <p>In immediate mode each event is absorbed when it arrives and answered at once. In ordered mode
 * events wait for the watermark, and all of one instant are absorbed before any is answered.
 */
public final class FeatureFunction extends KeyedProcessFunction<String, Envelope, Envelope> {
    private static final long serialVersionUID = 1L;

    private final String planJson;
    private final int decisionPlace;
    private final int stagePlace;
    private final boolean ordered;
    private final Bounds bounds;

    private transient List<SourcePlan> sources;
    private transient List<ViewPlan> views;
    private transient StageLayout layout;
    private transient List<ViewEngine> engines;
    private transient ViewInput[] inputs;
    private transient int[] dedupPlaces;
    private transient int[] viewSources;
    private transient int[] firstValue;
    private transient int firstView;
    private transient int allValues;
    private transient int allViews;
    private transient int driver;
    private transient Ledger ledger;
    private transient ValueState<StageState> states;
    private transient MapState<Long, List<Envelope>> waiting;

    /**
     * A stage.
     *
     * @param planJson the plan that was compiled from the definitions
     * @param decision place of the decision in the plan
     * @param stage place of the stage in the decision
     * @param ordered whether events wait for the watermark
     */
    public FeatureFunction(
            String planJson, int decision, int stage, boolean ordered, Bounds bounds) {
        this.planJson = planJson;
        this.decisionPlace = decision;
        this.stagePlace = stage;
        this.ordered = ordered;
        this.bounds = bounds;
    }

    @Override
    public void open(OpenContext context) {
        Plan plan = Plan.read(planJson);
        sources = plan.sources();
        DecisionPlan decision = plan.decisions().get(decisionPlace);
        StagePlan stage = decision.stages().get(stagePlace);
        views = stage.views().stream().map(plan::view).toList();
        layout = new StageLayout(views, sources.size());
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
        int value = valuesOf(all.subList(0, firstView));
        for (int v = 0; v < views.size(); v++) {
            inputs[v] = new ViewInput(sources.get(viewSources[v]), views.get(v));
            firstValue[v] = value;
            value += views.get(v).features().size();
        }
        ledger = new Ledger(sources, decision.name(), stage.joinKey());
        states =
                getRuntimeContext()
                        .getState(
                                new ValueStateDescriptor<>(
                                        "stage",
                                        new StageStateSerializer(
                                                planJson, decisionPlace, stagePlace)));
        if (ordered) {
            waiting =
                    getRuntimeContext()
                            .getMapState(
                                    new MapStateDescriptor<>(
                                            "waiting",
                                            LongSerializer.INSTANCE,
                                            new ListSerializer<>(EnvelopeSerializer.INSTANCE)));
        }
    }

    private static int valuesOf(List<ViewPlan> views) {
        return views.stream().mapToInt(view -> view.features().size()).sum();
    }

    @Override
    public void processElement(Envelope event, Context context, Collector<Envelope> out)
            throws Exception {
        if (!ordered) {
            handle(List.of(event), context, out);
            return;
        }
        List<Envelope> instant = waiting.get(event.available);
        if (instant == null) {
            instant = new ArrayList<>(1);
            context.timerService().registerEventTimeTimer(event.available);
        }
        instant.add(event);
        waiting.put(event.available, instant);
    }

    @Override
    public void onTimer(long time, OnTimerContext context, Collector<Envelope> out)
            throws Exception {
        List<Envelope> instant = waiting.get(time);
        waiting.remove(time);
        if (instant.size() > 1) {
            instant = new ArrayList<>(instant);
            instant.sort(this::order);
        }
        handle(instant, context, out);
    }

    /** Facts before questions, by their keys; of one key the one that was appended first. */
    private int order(Envelope left, Envelope right) {
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

    private void handle(List<Envelope> events, Context context, Collector<Envelope> out)
            throws Exception {
        StageState state = states.value();
        if (state == null) {
            state = layout.newState();
        }
        List<Envelope> asking = new ArrayList<>(events.size());
        for (Envelope event : events) {
            if (absorb(state, event, context) && event.source == driver) {
                asking.add(event);
            }
        }
        for (Envelope event : asking) {
            answer(state, event);
            out.collect(event);
        }
        states.update(state);
    }

    /** Takes an event into the views of its source; returns whether it is one to go on with. */
    private boolean absorb(StageState state, Envelope event, Context context) {
        byte[] dedup = dedup(event);
        boolean first = event.source != driver || stagePlace == 0;
        if (first && isDuplicate(state, event, dedup)) {
            context.output(Outputs.LATE, ledger.record(event, null, "duplicate", -1));
            return false;
        }
        Object[][] taken = new Object[inputs.length][];
        try {
            for (int v = 0; v < inputs.length; v++) {
                taken[v] = viewSources[v] == event.source ? inputs[v].values(event.row) : null;
            }
        } catch (BadRecord bad) {
            state.seen(event.source).remove(event.available, dedup);
            event.reason = bad.reason();
            event.message = bad.getMessage();
            context.output(Outputs.DEAD, DeadLetters.record(sources.get(event.source), event));
            return false;
        }
        if (event.source == driver) {
            prepare(event);
        }
        for (int v = 0; v < inputs.length; v++) {
            ViewEngine view = engines.get(v);
            ViewState held = state.view(v);
            if (event.source == driver && view.isLate(held, event.time)) {
                event.statuses[firstView + v] = Envelope.LATE;
            }
            if (taken[v] == null) {
                continue;
            }
            // What becomes known long after it happened is not late for that.
            boolean late = event.available == event.time && view.isLate(held, event.time);
            ViewEngine.Absorption became =
                    view.absorb(held, event.time, event.available, dedup, taken[v]);
            if (became != ViewEngine.Absorption.ABSORBED) {
                String reason = became == ViewEngine.Absorption.FULL ? "state_full" : "too_old";
                context.output(
                        Outputs.LATE,
                        ledger.record(event, views.get(v).name(), reason, held.sequence()));
            } else if (late) {
                context.output(
                        Outputs.LATE,
                        ledger.record(event, views.get(v).name(), "late", held.sequence()));
            }
        }
        return true;
    }

    /** Whether the event was seen within the horizon of keys, or is still kept in a view. */
    private boolean isDuplicate(StageState state, Envelope event, byte[] dedup) {
        for (int v = 0; v < inputs.length; v++) {
            if (viewSources[v] == event.source
                    && engines.get(v).holds(state.view(v), event.time, dedup)) {
                return true;
            }
        }
        return !state.seen(event.source).add(event.available, dedup, bounds.dedupMs());
    }

    private void prepare(Envelope event) {
        if (event.values != null) {
            return;
        }
        event.values = new Object[allValues];
        event.sequences = new long[allViews];
        event.statuses = new byte[allViews];
    }

    private void answer(StageState state, Envelope event) {
        byte[] dedup = dedup(event);
        for (int v = 0; v < inputs.length; v++) {
            ViewState held = state.view(v);
            event.sequences[firstView + v] = held.sequence();
            if (event.statuses[firstView + v] == Envelope.LATE) {
                continue;
            }
            try {
                Object[] found = engines.get(v).values(held, event.time, dedup);
                System.arraycopy(found, 0, event.values, firstValue[v], found.length);
            } catch (BadRecord bad) {
                event.statuses[firstView + v] = Envelope.OVERFLOW;
            }
        }
    }

    private byte[] dedup(Envelope event) {
        String key = (String) event.row[dedupPlaces[event.source]];
        return key.getBytes(StandardCharsets.UTF_8);
    }
}
