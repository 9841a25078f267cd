package io.headrace.operator.stream;

import io.headrace.operator.plan.DecisionPlan;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.plan.Plan;
import io.headrace.operator.plan.SourcePlan;
import io.headrace.operator.plan.ViewPlan;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonGenerator;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.SerializableString;

/** Writes decisions, and alerts, which say besides whether they are taken back. */
final class DecisionRecord {
    private static final String[] STATUSES = {
        "complete", "late", "overflow", "incomplete", "full"
    };

    private final String project;
    private final String decision;
    private final long epoch;
    private final SerializableString[] columns;
    private final int dedupPlace;
    private final SerializableString[] views;
    private final List<String> features = new ArrayList<>();
    private final SerializableString[] names;

    DecisionRecord(Plan plan, DecisionPlan decision, long epoch) {
        this.project = plan.project();
        this.decision = decision.name();
        this.epoch = epoch;
        SourcePlan source = plan.sources().get(plan.sourcePlace(decision.source()));
        columns = Json.names(source.columnNames());
        dedupPlace = source.dedupPlace();
        views = Json.names(plan.views(decision).stream().map(ViewPlan::name).toList());
        for (ViewPlan view : plan.views(decision)) {
            for (FeaturePlan feature : view.features()) {
                features.add(view.name() + "__" + feature.name());
            }
        }
        names = Json.names(features);
    }

    /** The names of the features in the order of an event's values. */
    List<String> features() {
        return features;
    }

    /** A decision, by the names of the rules that flag the event. */
    byte[] decision(Envelope event, List<String> fired) {
        return Json.object(json -> write(json, event, fired));
    }

    /** An alert; a retraction has what the event turned out to be. */
    byte[] alert(Envelope event, List<String> fired, boolean retracted) {
        return Json.object(
                json -> {
                    write(json, event, fired);
                    json.writeBooleanField("retracted", retracted);
                });
    }

    private void write(JsonGenerator json, Envelope event, List<String> fired)
            throws IOException {
        json.writeStringField("id", (String) event.row[dedupPlace]);
        json.writeStringField("project", project);
        json.writeStringField("decision", decision);
        json.writeNumberField("epoch", epoch);
        json.writeNumberField("event_time", event.time);
        json.writeBooleanField("flagged", !fired.isEmpty());
        json.writeArrayFieldStart("rules");
        for (String rule : fired) {
            json.writeString(rule);
        }
        json.writeEndArray();
        json.writeObjectFieldStart("event");
        Json.fields(json, columns, event.row);
        json.writeEndObject();
        json.writeObjectFieldStart("features");
        Json.fields(json, names, event.values);
        json.writeEndObject();
        json.writeObjectFieldStart("views");
        for (int i = 0; i < event.sequences.length; i++) {
            json.writeFieldName(views[i]);
            json.writeStartObject();
            json.writeNumberField("sequence", event.sequences[i]);
            json.writeStringField("status", STATUSES[event.statuses[i]]);
            json.writeEndObject();
        }
        json.writeEndObject();
        json.writeNumberField("partition", event.partition);
        json.writeNumberField("offset", event.offset);
    }
}
