package io.headrace.operator.stream;

import io.headrace.operator.plan.SourcePlan;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Accounts for events that a state has not taken in as usual. */
final class Ledger {
    private final List<SourcePlan> sources;
    private final String decision;
    private final String joinKey;

    Ledger(List<SourcePlan> sources, String decision, String joinKey) {
        this.sources = sources;
        this.decision = decision;
        this.joinKey = joinKey;
    }

    /**
     * An entry.
     *
     * @param view the view whose state it is about, null for all of the source
     * @param sequence of that state
     */
    OutRecord record(Envelope event, String view, String reason, long sequence) {
        SourcePlan source = sources.get(event.source);
        String id = (String) event.row[source.dedupPlace()];
        byte[] value =
                Json.object(
                        json -> {
                            json.writeStringField("source", source.name());
                            json.writeStringField("id", id);
                            json.writeStringField("reason", reason);
                            json.writeStringField("decision", decision);
                            Json.field(json, "view", view);
                            Json.field(json, joinKey, event.row[source.place(joinKey)]);
                            json.writeNumberField("event_time", event.time);
                            json.writeNumberField("available_at", event.available);
                            json.writeNumberField("sequence", sequence);
                            json.writeNumberField("partition", event.partition);
                            json.writeNumberField("offset", event.offset);
                        });
        return new OutRecord(Outputs.LATE_EVENTS, id.getBytes(StandardCharsets.UTF_8), value);
    }
}
