package io.headrace.operator.stream;

import io.headrace.operator.BadRecord;
import io.headrace.operator.expression.Expression;
import io.headrace.operator.expression.Expressions;
import io.headrace.operator.plan.DecisionPlan;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.plan.Plan;
import io.headrace.operator.plan.RulePlan;
import io.headrace.operator.plan.SourcePlan;
import io.headrace.operator.plan.ViewPlan;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonGenerator;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.Collector;

/** Applies the rules to an event and its features; what is flagged is told at once. */
public final class DecisionFunction extends ProcessFunction<Envelope, OutRecord> {
    private static final long serialVersionUID = 1L;
    private static final String[] STATUSES = {"complete", "late", "overflow", "incomplete"};

    private final String planJson;
    private final int decisionPlace;
    private final long epoch;

    private transient DecisionPlan decision;
    private transient SourcePlan source;
    private transient int dedupPlace;
    private transient List<String> views;
    private transient List<String> features;
    private transient List<String> rules;
    private transient Expression[] conditions;

    /**
     * The rules of a decision.
     *
     * @param decision its place in the plan
     * @param epoch number of the deployment
     */
    public DecisionFunction(String planJson, int decision, long epoch) {
        this.planJson = planJson;
        this.decisionPlace = decision;
        this.epoch = epoch;
    }

    @Override
    public void open(OpenContext context) {
        Plan plan = Plan.read(planJson);
        decision = plan.decisions().get(decisionPlace);
        source = plan.sources().get(plan.sourcePlace(decision.source()));
        dedupPlace = source.dedupPlace();
        views = plan.views(decision).stream().map(ViewPlan::name).toList();
        features = new ArrayList<>();
        for (ViewPlan view : plan.views(decision)) {
            for (FeaturePlan feature : view.features()) {
                features.add(view.name() + "__" + feature.name());
            }
        }
        List<String> names = new ArrayList<>(source.columnNames());
        names.addAll(features);
        rules = decision.rules().stream().map(RulePlan::name).toList();
        conditions =
                decision.rules().stream()
                        .map(rule -> Expressions.compile(rule.when(), names))
                        .toArray(Expression[]::new);
    }

    @Override
    public void processElement(Envelope event, Context context, Collector<OutRecord> out) {
        List<String> fired = fired(event);
        String id = (String) event.row[dedupPlace];
        byte[] key = id.getBytes(StandardCharsets.UTF_8);
        OutRecord record = new OutRecord(key, Json.object(json -> write(json, event, id, fired)));
        out.collect(record);
        if (!fired.isEmpty()) {
            context.output(Outputs.ALERTS, record);
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
            } catch (BadRecord bad) {
                // Arithmetic beyond the numbers there are says nothing about the event.
                continue;
            }
        }
        return fired;
    }

    private void write(JsonGenerator json, Envelope event, String id, List<String> fired)
            throws IOException {
        json.writeStringField("id", id);
        json.writeStringField("decision", decision.name());
        json.writeNumberField("epoch", epoch);
        json.writeNumberField("event_time", event.time);
        json.writeBooleanField("flagged", !fired.isEmpty());
        json.writeArrayFieldStart("rules");
        for (String rule : fired) {
            json.writeString(rule);
        }
        json.writeEndArray();
        json.writeObjectFieldStart("event");
        for (int i = 0; i < event.row.length; i++) {
            Json.field(json, source.columnNames().get(i), event.row[i]);
        }
        json.writeEndObject();
        json.writeObjectFieldStart("features");
        for (int i = 0; i < event.values.length; i++) {
            Json.field(json, features.get(i), event.values[i]);
        }
        json.writeEndObject();
        json.writeObjectFieldStart("views");
        for (int i = 0; i < event.sequences.length; i++) {
            json.writeObjectFieldStart(views.get(i));
            json.writeNumberField("sequence", event.sequences[i]);
            json.writeStringField("status", STATUSES[event.statuses[i]]);
            json.writeEndObject();
        }
        json.writeEndObject();
        json.writeNumberField("partition", event.partition);
        json.writeNumberField("offset", event.offset);
    }
}
