package io.headrace.operator.stream;

import java.io.IOException;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;

/**
 * What a record of a former run says, in `decisions` or `alerts`.
 *
 * @param project whose it is
 * @param decision name of the decision
 * @param id dedup key of the event
 * @param place where the event was read
 * @param available when the event could first be known, ms UTC
 * @param retracted whether it takes an alert back
 */
record PastDecision(
        String project,
        String decision,
        String id,
        Place place,
        long available,
        boolean retracted) {
    private static final JsonFactory FACTORY = new JsonFactory();

    /**
     * Reads a record.
     *
     * @param availableColumn the event's column that says when it could first be known
     * @return null for what is no record of a stream job
     */
    static PastDecision read(byte[] value, String availableColumn) {
        if (value == null) {
            return null;
        }
        Fields fields = new Fields(availableColumn);
        try (JsonParser json = FACTORY.createParser(value)) {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                return null;
            }
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                fields.take(json);
            }
        } catch (IOException error) {
            return null;
        }
        return fields.whole();
    }

    /** What was read so far. */
    private static final class Fields {
        private final String availableColumn;
        private String project;
        private String decision;
        private String id;
        private int partition = -1;
        private long offset = -1;
        private long available = Long.MIN_VALUE;
        private boolean retracted;

        Fields(String availableColumn) {
            this.availableColumn = availableColumn;
        }

        void take(JsonParser json) throws IOException {
            String name = json.currentName();
            json.nextToken();
            switch (name) {
                case "project" -> project = json.getText();
                case "decision" -> decision = json.getText();
                case "id" -> id = json.getText();
                case "partition" -> partition = json.getIntValue();
                case "offset" -> offset = json.getLongValue();
                case "retracted" -> retracted = json.getBooleanValue();
                case "event" -> takeEvent(json);
                default -> json.skipChildren();
            }
        }

        private void takeEvent(JsonParser json) throws IOException {
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                boolean wanted = json.currentName().equals(availableColumn);
                json.nextToken();
                if (wanted) {
                    available = json.getLongValue();
                }
            }
        }

        PastDecision whole() {
            if (project == null || decision == null || id == null || partition < 0 || offset < 0) {
                return null;
            }
            Place place = new Place(partition, offset);
            return new PastDecision(project, decision, id, place, available, retracted);
        }
    }
}
