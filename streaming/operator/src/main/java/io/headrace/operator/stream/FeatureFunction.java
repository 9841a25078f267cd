package io.headrace.operator.stream;

import io.headrace.operator.BadRecord;
import io.headrace.operator.plan.DecisionPlan;
import io.headrace.operator.plan.Plan;
import io.headrace.operator.plan.SourcePlan;
import io.headrace.operator.plan.StagePlan;
import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.state.Bounds;
import io.headrace.operator.state.ChunkStore;
import io.headrace.operator.state.FieldSink;
import io.headrace.operator.state.PackedState;
import io.headrace.operator.state.StageLayout;
import io.headrace.operator.state.StageState;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeutils.base.ListSerializer;
import org.apache.flink.api.common.typeutils.base.LongSerializer;
import org.apache.flink.api.common.typeutils.base.StringSerializer;
import org.apache.flink.metrics.Counter;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.TimeDomain;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.FlinkRuntimeException;

/**
 * One stage of a decision: absorbs the events of an entity and answers with its features.
 *
 * <p>In immediate mode each event is absorbed when it arrives and answered at once. In ordered mode
 * events wait for the watermark, and all of one instant are absorbed before any is answered.
 */
public final class FeatureFunction extends KeyedProcessFunction<String, Envelope, Envelope>
        implements CheckpointedFunction {
    /** The name of the state that a stage keeps for an entity. */
    static final String STATE = "stage";

    /** The name of that of events which wait for the watermark. */
    static final String WAITING = "waiting";

    private static final long serialVersionUID = 1L;
    // Timers are set to whole hours, so that an entity has few of them.
    private static final long TIMER_STEP_MS = 3_600_000;
    // How long to wait for a partition that has not come as far as the watermark, in event time.
    private static final long PATIENCE_MS = 86_400_000;

    private final String planJson;
    private final int decisionPlace;
    private final int stagePlace;
    private final boolean ordered;
    private final boolean goesOn;
    private final Bounds bounds;
    private final long epoch;

    private transient Stage stage;
    private transient StageLayout layout;
    private transient Progress progress;
    private transient ChunkStore[] chunks;
    private transient ChunkStore[] keys;
    private transient Told told;
    private transient Counter expired;
    private transient ValueState<PackedState> states;
    private transient MapState<Long, List<Envelope>> waiting;
    private transient ListState<String> members;

    /**
     * A stage.
     *
     * @param planJson the plan that was compiled from the definitions
     * @param decision place of the decision in the plan
     * @param stage place of the stage in the decision
     * @param ordered whether events wait for the watermark
     * @param goesOn whether the job begins with a state
     * @param epoch number of the deployment
     */
    public FeatureFunction(
            String planJson,
            int decision,
            int stage,
            boolean ordered,
            boolean goesOn,
            Bounds bounds,
            long epoch) {
        this.planJson = planJson;
        this.decisionPlace = decision;
        this.stagePlace = stage;
        this.ordered = ordered;
        this.goesOn = goesOn;
        this.bounds = bounds;
        this.epoch = epoch;
    }

    /**
     * Sees that a stage of a job that goes on goes on itself.
     *
     * <p>To Flink an operator that the job didn't have is one that begins: its features would look
     * complete, and lack all that came before. Whether the job begins with a state it tells only
     * where some operator of the same task had one.
     */
    @Override
    public void initializeState(FunctionInitializationContext context) throws Exception {
        members =
                context.getOperatorStateStore()
                        .getUnionListState(
                                new ListStateDescriptor<>("members", StringSerializer.INSTANCE));
        if (goesOn && !members.get().iterator().hasNext()) {
            String views = String.join(", ", stagePlan(Plan.read(planJson)).views());
            throw new SuppressRestartsException(
                    new IllegalStateException(
                            "the state has no view "
                                    + views
                                    + ": it would begin without its history (--from lake makes it,"
                                    + " --fresh does without)"));
        }
    }

    @Override
    public void snapshotState(FunctionSnapshotContext context) throws Exception {
        // Each subtask says that there is one.
        members.update(List.of(stage.views().get(0).name()));
    }

    boolean isOrdered() {
        return ordered;
    }

    private StagePlan stagePlan(Plan plan) {
        return plan.decisions().get(decisionPlace).stages().get(stagePlace);
    }

    @Override
    public void open(OpenContext context) {
        Plan plan = Plan.read(planJson);
        stage = new Stage(plan, decisionPlace, stagePlace, bounds);
        layout =
                new StageLayout(
                        stage.views(), plan.sources().stream().map(SourcePlan::name).toList());
        DecisionPlan decision = plan.decisions().get(decisionPlace);
        chunks =
                stage.views().stream()
                        .map(view -> ChunksInState.ofEvents(getRuntimeContext(), view))
                        .toArray(ChunkStore[]::new);
        keys =
                plan.sources().stream()
                        .map(source -> ChunksInState.ofKeys(getRuntimeContext(), source))
                        .toArray(ChunkStore[]::new);
        told = new Told(plan.sources(), decision, stagePlan(plan).joinKey());
        expired = getRuntimeContext().getMetricGroup().counter("headrace_states_expired_total");
        progress = new Progress(plan.sources().size());
        states = getRuntimeContext().getState(state(planJson, decisionPlace, stagePlace));
        // In immediate mode too, see StageOperator.
        waiting =
                getRuntimeContext()
                        .getMapState(
                                new MapStateDescriptor<>(
                                        WAITING,
                                        LongSerializer.INSTANCE,
                                        new ListSerializer<>(EnvelopeSerializer.INSTANCE)));
    }

    /** What a stage keeps for an entity. */
    static ValueStateDescriptor<PackedState> state(String planJson, int decision, int stage) {
        return new ValueStateDescriptor<>(
                STATE, new StageStateSerializer(planJson, decision, stage));
    }

    @Override
    public void processElement(Envelope event, Context context, Collector<Envelope> out)
            throws Exception {
        // What is late for its instant would wait for whatever moves the watermark next.
        if (!ordered || event.available <= context.timerService().currentWatermark()) {
            keep(handled(List.of(event), context, out));
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
        if (context.timeDomain() == TimeDomain.PROCESSING_TIME) {
            // Nothing is to wait any more.
            List<Long> instants = new ArrayList<>();
            waiting.keys().forEach(instants::add);
            instants.sort(null);
            for (long instant : instants) {
                keep(passed(instant, context, out));
            }
            return;
        }
        StageState state = passed(time, context, out);
        if (state.timer == time) {
            expire(state, time, context);
        }
        keep(state);
    }

    /** The state of the entity with those events in it that have waited for an instant to pass. */
    private StageState passed(long time, Context context, Collector<Envelope> out)
            throws Exception {
        List<Envelope> instant = waiting.get(time);
        if (instant == null) {
            return state();
        }
        waiting.remove(time);
        List<Envelope> events = new ArrayList<>(instant);
        events.sort(stage::order);
        return handled(events, context, out);
    }

    private StageState state() throws IOException {
        PackedState held = states.value();
        StageState state = held == null ? layout.newState() : layout.unpacked(held);
        state.bind(chunks, keys);
        return state;
    }

    private void keep(StageState state) throws IOException {
        state.release();
        states.update(layout.packed(state));
    }

    private void expire(StageState state, long time, Context context) {
        state.timer = StageState.NO_TIMER;
        long empty = stage.emptyFrom(state);
        if (empty > time) {
            waitToExpire(state, context);
        } else if (progress.hasPassed(empty, state.partitions)) {
            stage.expire(state);
            expired.inc();
        } else {
            waitForPartitions(state, context);
        }
    }

    /** Looks again later; a job that ends has no later, and fires every timer before it does. */
    private void waitForPartitions(StageState state, Context context) {
        long watermark = context.timerService().currentWatermark();
        if (watermark < Long.MAX_VALUE - PATIENCE_MS) {
            state.timer = watermark + PATIENCE_MS;
            context.timerService().registerEventTimeTimer(state.timer);
        }
    }

    private void waitToExpire(StageState state, Context context) {
        long empty = stage.emptyFrom(state);
        if (state.timer == StageState.NO_TIMER && empty != Long.MAX_VALUE) {
            state.timer = (Math.floorDiv(empty, TIMER_STEP_MS) + 1) * TIMER_STEP_MS;
            context.timerService().registerEventTimeTimer(state.timer);
        }
    }

    /**
     * The state of the entity with some events in it, which are answered.
     *
     * <p>One that makes the stage fail is set aside, and the others are taken as if it hadn't come.
     */
    private StageState handled(List<Envelope> events, Context context, Collector<Envelope> out)
            throws IOException {
        List<Envelope> left = events;
        while (true) {
            StageState state = state();
            List<Envelope> asking = new ArrayList<>(left.size());
            told.begin();
            try {
                for (Envelope event : left) {
                    told.about = event;
                    progress.note(event, state.partitions);
                    if (stage.absorb(state, event, told)) {
                        asking.add(event);
                    }
                }
                for (Envelope event : asking) {
                    told.about = event;
                    stage.answer(state, event);
                }
            } catch (FlinkRuntimeException broken) {
                // The state can't be read: that is nothing about the event.
                throw broken;
            } catch (RuntimeException | StackOverflowError failure) {
                Envelope failing = told.about;
                BadRecord bad = BadRecord.failed(failure);
                failing.reason = bad.reason();
                failing.message = bad.getMessage();
                told.begin();
                told.failed(failing);
                told.end(context);
                left = left.stream().filter(event -> event != failing).toList();
                continue;
            }
            told.end(context);
            for (Envelope event : asking) {
                // Taken in by all stages for certain: no dead letter will have to show the record.
                event.raw = null;
                event.rawKey = null;
                out.collect(event);
            }
            waitToExpire(state, context);
            return state;
        }
    }

    /** Sends what becomes of events to the side output, and counts what is not as usual. */
    private final class Told implements Stage.Witness {
        private final List<SourcePlan> sources;
        private final Ledger ledger;
        private final int[] keyPlaces;
        private final UpdateSink[] sinks;
        private final Map<String, Counter> counters = new HashMap<>();
        // Of events that the stage may still fail on: they would be told of twice.
        private final List<OutRecord> records = new ArrayList<>();
        private final List<String> reasons = new ArrayList<>();
        private Envelope about;

        Told(List<SourcePlan> sources, DecisionPlan decision, String joinKey) {
            this.sources = sources;
            ledger = new Ledger(sources, decision.name(), joinKey);
            keyPlaces = sources.stream().mapToInt(source -> source.place(joinKey)).toArray();
            sinks =
                    stage.views().stream()
                            .map(view -> new UpdateSink(view, epoch, records::add, this::tooLarge))
                            .toArray(UpdateSink[]::new);
        }

        void begin() {
            records.clear();
            reasons.clear();
        }

        void end(Context context) {
            for (OutRecord record : records) {
                context.output(Outputs.ASIDE, record);
            }
            for (String reason : reasons) {
                counters.computeIfAbsent(reason, this::counter).inc();
            }
        }

        @Override
        public FieldSink changes(Envelope event, int view, long sequence) {
            sinks[view].begin(event.row[keyPlaces[event.source]], event, sequence);
            return sinks[view];
        }

        @Override
        public void ledgered(Envelope event, ViewPlan view, String reason, long sequence) {
            String name = view == null ? null : view.name();
            records.add(ledger.record(event, name, reason, sequence));
            reasons.add(reason);
        }

        private void tooLarge(Envelope event, ViewPlan view, long sequence) {
            ledgered(event, view, "update_too_large", sequence);
        }

        private Counter counter(String reason) {
            return getRuntimeContext()
                    .getMetricGroup()
                    .addGroup("reason", reason)
                    .counter("headrace_events_ledgered_total");
        }

        @Override
        public void failed(Envelope event) {
            records.add(DeadLetters.record(sources.get(event.source), event));
        }
    }
}
