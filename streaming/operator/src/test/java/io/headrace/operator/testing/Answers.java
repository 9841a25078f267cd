package io.headrace.operator.testing;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ArrayNode;

/** Values between a test and a program, with doubles by their bits and texts marked as such. */
final class Answers {
    private static final String DOUBLE = "double:";
    private static final String TEXT = "text:";

    private Answers() {}

    static void add(ArrayNode values, Object found) {
        if (found == null) {
            values.addNull();
        } else if (found instanceof Double number) {
            values.add(DOUBLE + Long.toHexString(Double.doubleToRawLongBits(number)));
        } else if (found instanceof Long number) {
            values.add(number);
        } else if (found instanceof Boolean truth) {
            values.add(truth);
        } else {
            values.add(TEXT + found);
        }
    }

    static Object read(JsonNode value) {
        if (value.isNull()) {
            return null;
        }
        if (value.isBoolean()) {
            return value.asBoolean();
        }
        if (value.isIntegralNumber()) {
            return value.asLong();
        }
        String text = value.asText();
        return text.startsWith(DOUBLE)
                ? (Object)
                        Double.longBitsToDouble(
                                Long.parseUnsignedLong(text.substring(DOUBLE.length()), 16))
                : text.substring(TEXT.length());
    }
}
