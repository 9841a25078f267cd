package io.headrace.operator.decode;

import io.headrace.operator.BadRecord;
import io.headrace.operator.plan.SourcePlan;
import java.io.IOException;
import java.util.regex.Pattern;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParseException;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.StreamReadConstraints;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.json.JsonReadFeature;

/**
 * Reads events of one source from JSON, checked against the contract in one pass.
 *
 * <p>It accepts and refuses what the codec of the contracts does, for the same reasons.
 */
public final class EventDecoder {
    private static final JsonFactory STRICT = factory(false);
    // Python's reader, which explains a refusal there, knows NaN and Infinity.
    private static final JsonFactory LENIENT = factory(true);

    // Where a reader says it is: what it reads isn't named, and no file anyway.
    private static final Pattern SOURCE =
            Pattern.compile("\\[Source: .*?; line: (\\d+), column: (\\d+)\\]");

    private final String schema;
    private final Contract contract;

    /** For the events of a source. */
    public EventDecoder(SourcePlan source) {
        schema = source.schema();
        contract = new Contract(source);
    }

    /**
     * The values of the source's columns, in their order: Long, Double, String, Boolean or null.
     *
     * @throws BadRecord the record can't be used
     */
    public Object[] decode(byte[] raw) throws BadRecord {
        if (!Utf8.isText(raw)) {
            throw undecodable("is not JSON: not an object in UTF-8");
        }
        int unpaired = Escapes.firstUnpaired(raw);
        Fields fields = new Fields(contract);
        try {
            // Up to the backslash of half a surrogate pair, at which the reader stumbles.
            fields.read(STRICT, raw, unpaired < 0 ? raw.length : unpaired + 1);
        } catch (IOException error) {
            throw refusal(raw, fields, error);
        }
        Object[] values = contract.checked(fields.found());
        if (fields.spoilt()) {
            throw namedTwice();
        }
        return values;
    }

    /** Why a record that can't be read is refused: what its columns hold may be a better reason. */
    private BadRecord refusal(byte[] raw, Fields untilError, IOException error) throws BadRecord {
        Fields fields = new Fields(contract);
        try {
            fields.read(LENIENT, raw, raw.length);
            requireNumbersOfPython(raw);
        } catch (IOException again) {
            return undecodable("is not JSON: " + firstLine(again));
        }
        contract.checked(fields.found());
        return untilError.anyWrong()
                ? namedTwice()
                : undecodable("can't be read: " + firstLine(error));
    }

    // Jackson's lenient reader also takes +Infinity and INF with a sign.
    private static void requireNumbersOfPython(byte[] raw) throws IOException {
        try (JsonParser parser = LENIENT.createParser(raw)) {
            for (JsonToken token = parser.nextToken(); token != null; token = parser.nextToken()) {
                if (token != JsonToken.VALUE_NUMBER_FLOAT) {
                    continue;
                }
                String text = parser.getText();
                if (text.startsWith("+") || text.endsWith("INF")) {
                    throw new JsonParseException(parser, "no number: " + text);
                }
            }
        }
    }

    private BadRecord namedTwice() {
        return new BadRecord(
                "wrong_type", schema + " can't be read: a field is named again after a bad value");
    }

    private BadRecord undecodable(String what) {
        return new BadRecord("undecodable", schema + " " + what);
    }

    private static String firstLine(IOException error) {
        String told = String.valueOf(error.getMessage()).lines().findFirst().orElse("");
        return SOURCE.matcher(told).replaceAll("line $1, column $2");
    }

    private static JsonFactory factory(boolean lenient) {
        return JsonFactory.builder()
                .streamReadConstraints(
                        StreamReadConstraints.builder()
                                .maxNumberLength(Integer.MAX_VALUE)
                                .maxStringLength(Integer.MAX_VALUE)
                                .maxNameLength(Integer.MAX_VALUE)
                                .build())
                .configure(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS, lenient)
                .build();
    }
}
