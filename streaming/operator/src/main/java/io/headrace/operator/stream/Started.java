package io.headrace.operator.stream;

import java.io.IOException;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;

/** The record by which a deployment announces that it starts. */
final class Started {
    private static final String FIELD = "started";
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private Started() {}

    /**
     * The record.
     *
     * @param epoch number of the deployment
     * @param from the number of the one whose state it goes on from; 0 if that is no deployment's
     */
    static byte[] write(long epoch, long from) {
        return Json.object(
                json -> {
                    json.writeNumberField(FIELD, epoch);
                    json.writeNumberField("goes_on_from", from);
                });
    }

    /** The number of the deployment that starts; 0 for a record that says something else. */
    static long read(byte[] value) {
        try {
            return value == null ? 0 : MAPPER.readTree(value).path(FIELD).asLong();
        } catch (IOException error) {
            return 0;
        }
    }
}
