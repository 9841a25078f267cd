package io.headrace.operator.stream;

import io.headrace.operator.BadRecord;
import io.headrace.operator.expression.Expression;
import io.headrace.operator.expression.Expressions;
import io.headrace.operator.plan.DecisionPlan;
import io.headrace.operator.plan.Plan;
import io.headrace.operator.plan.RulePlan;
import io.headrace.operator.plan.SourcePlan;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutionException;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.typeutils.base.array.BytePrimitiveArraySerializer;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Applies the rules to an event and its features; what is flagged is told at once.
 *
 * <p>A decision that a former run has committed is not made again, and an alert of a former run is
 * taken back where the event isn't flagged any more.
 */
public final class DecisionFunction extends ProcessFunction<Envelope, OutRecord>
        implements CheckpointedFunction {
    private static final long serialVersionUID = 1L;

    private final String planJson;
    private final int decisionPlace;
    private final boolean ordered;
    private final Deployment deployment;
    private final String transactions;

    private transient int dedupPlace;
    private transient List<String> rules;
    private transient Expression[] conditions;
    private transient DecisionRecord record;
    private transient ListState<byte[]> bookmarks;
    private transient Bookmark restored;
    private transient FormerRuns former;
    private transient long watermark;
    private transient Counter suppressed;
    private transient Counter retracted;

    /**
     * The rules of a decision.
     *
     * @param decision its place in the plan
     * @param ordered whether events come in the order of time
     * @param transactions what the ids of its sink's transactions begin with, before the number of
     *     the deployment
     */
    public DecisionFunction(
            String planJson,
            int decision,
            boolean ordered,
            Deployment deployment,
            String transactions) {
        this.planJson = planJson;
        this.decisionPlace = decision;
        this.ordered = ordered;
        this.deployment = deployment;
        this.transactions = transactions;
    }

    @Override
    public void initializeState(FunctionInitializationContext context) throws Exception {
        // Every subtask gets those of all: each has to know the earliest.
        bookmarks =
                context.getOperatorStateStore()
                        .getUnionListState(
                                new ListStateDescriptor<>(
                                        "bookmarks", BytePrimitiveArraySerializer.INSTANCE));
        restored = Bookmark.of(bookmarks.get());
    }

    @Override
    public void open(OpenContext context) throws ExecutionException, InterruptedException {
        Plan plan = Plan.read(planJson);
        DecisionPlan decision = plan.decisions().get(decisionPlace);
        SourcePlan source = plan.sources().get(plan.sourcePlace(decision.source()));
        dedupPlace = source.dedupPlace();
        record = new DecisionRecord(plan, decision, deployment.epoch());
        List<String> names = new ArrayList<>(source.columnNames());
        names.addAll(record.features());
        rules = decision.rules().stream().map(RulePlan::name).toList();
        conditions =
                decision.rules().stream()
                        .map(rule -> Expressions.compile(rule.when(), names))
                        .toArray(Expression[]::new);
        MetricGroup metrics =
                getRuntimeContext().getMetricGroup().addGroup("decision", decision.name());
        suppressed = metrics.counter("headrace_decisions_suppressed_total");
        retracted = metrics.counter("headrace_alerts_retracted_total");
        watermark = Long.MIN_VALUE;
        int availablePlace =
                source.availablePlace() < 0 ? source.timePlace() : source.availablePlace();
        former =
                new FormerRuns(
                        deployment,
                        decision.name(),
                        source.columnNames().get(availablePlace),
                        ordered);
        former.learn(restored, transactions);
    }

    @Override
    public void processElement(Envelope event, Context context, Collector<OutRecord> out) {
        String id = (String) event.row[dedupPlace];
        watermark = context.timerService().currentWatermark();
        if (former.decided(event, id)) {
            suppressed.inc();
            return;
        }
        List<String> fired = fired(event);
        byte[] key = id.getBytes(StandardCharsets.UTF_8);
        byte[] decision = record.decision(event, fired);
        if (decision.length > Outputs.MOST_BYTES) {
            // Some texts are too large for a record with all of them.
            Arrays.fill(event.values, null);
            Arrays.fill(event.statuses, Envelope.OVERFLOW);
            decision = record.decision(event, fired);
        }
        out.collect(new OutRecord(Outputs.DECISIONS, key, decision));
        byte[] alert = fired.isEmpty() ? null : record.alert(event, fired, false);
        switch (former.todo(event, id, alert)) {
            case ALERT -> context.output(Outputs.ALERTS, alert(key, alert));
            case RETRACTION -> {
                byte[] retraction = record.alert(event, fired, true);
                context.output(Outputs.ALERTS, alert(key, retraction));
                retracted.inc();
            }
            case NOTHING -> {}
        }
    }

    private static OutRecord alert(byte[] key, byte[] value) {
        return new OutRecord(Outputs.ALERTS.getId(), key, value);
    }

    @Override
    public void snapshotState(FunctionSnapshotContext context) throws Exception {
        bookmarks.update(List.of(former.bookmark(watermark)));
    }

    @Override
    public void close() {
        if (former != null) {
            former.close();
        }
    }

    private List<String> fired(Envelope event) {
        List<String> fired = new ArrayList<>(0);
        if (conditions.length == 0) {
            return fired;
        }
        Object[] row = Arrays.copyOf(event.row, event.row.length + event.values.length);
        System.arraycopy(event.values, 0, row, event.row.length, event.values.length);
        for (int i = 0; i < conditions.length; i++) {
            try {
                if (Boolean.TRUE.equals(conditions[i].evaluate(row))) {
                    fired.add(rules.get(i));
                }
            } catch (BadRecord | RuntimeException | StackOverflowError bad) {
                // Arithmetic beyond the numbers there are says nothing about the event. If the rule
                // itself fails, the job would meet the event again for ever.
                continue;
            }
        }
        return fired;
    }
}
