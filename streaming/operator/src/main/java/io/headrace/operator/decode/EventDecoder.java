package io.headrace.operator.decode;

import io.headrace.operator.BadRecord;
import io.headrace.operator.plan.ColumnPlan;
import io.headrace.operator.plan.ColumnType;
import io.headrace.operator.plan.SourcePlan;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
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

    private final String schema;
    private final List<ColumnPlan> columns;
    private final ColumnCheck[] checks;
    private final String[] names;
    private final Map<String, Integer> places = new HashMap<>();

    /** For the events of a source. */
    public EventDecoder(SourcePlan source) {
        schema = source.schema();
        columns = source.columns();
        names = columns.stream().map(ColumnPlan::name).toArray(String[]::new);
        checks =
                columns.stream()
                        .map(column -> new ColumnCheck(source, column))
                        .toArray(ColumnCheck[]::new);
        for (int place = 0; place < names.length; place++) {
            places.put(names[place], place);
        }
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
        Object[] found;
        try {
            found = read(STRICT, raw);
        } catch (IOException error) {
            throw refusal(raw, error);
        }
        return checked(found);
    }

    private Object[] checked(Object[] found) throws BadRecord {
        for (int place = 0; place < found.length; place++) {
            found[place] = checks[place].checked(found[place]);
        }
        return found;
    }

    /** What the columns hold, as it was found; an Unfit where it is of another type. */
    private Object[] read(JsonFactory factory, byte[] raw) throws IOException, BadRecord {
        Object[] found = new Object[names.length];
        java.util.Arrays.fill(found, Unfit.MISSING);
        try (JsonParser parser = factory.createParser(raw)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw undecodable("is JSON but no object");
            }
            int expected = 0;
            boolean spoilt = false;
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                int place = place(parser.currentName(), expected);
                JsonToken token = parser.nextToken();
                if (place < 0) {
                    parser.skipChildren();
                    continue;
                }
                expected = place + 1;
                spoilt |= found[place] != Unfit.MISSING && !checks[place].fits(found[place]);
                found[place] = value(parser, token, columns.get(place).type());
            }
            if (parser.nextToken() != null) {
                throw undecodable("is not JSON: more follows after the object");
            }
            if (spoilt) {
                checked(found);
                throw new BadRecord(
                        "wrong_type", schema + " names a field twice, first with a bad value");
            }
        }
        return found;
    }

    // Fields come in the order of the contract more often than not.
    private int place(String name, int expected) {
        if (expected < names.length && names[expected].equals(name)) {
            return expected;
        }
        return places.getOrDefault(name, -1);
    }

    private static Object value(JsonParser parser, JsonToken token, ColumnType type)
            throws IOException {
        switch (token) {
            case VALUE_NULL:
                return null;
            case VALUE_STRING:
                String text = parser.getText();
                return type == ColumnType.STRING ? text : Unfit.of("'" + text + "'");
            case VALUE_TRUE, VALUE_FALSE:
                boolean truth = token == JsonToken.VALUE_TRUE;
                return type == ColumnType.BOOL ? (Object) truth : Unfit.of(Boolean.toString(truth));
            case VALUE_NUMBER_INT:
                if (type == ColumnType.INT64) {
                    return parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER
                            ? Unfit.tooLong(parser.getText())
                            : (Object) parser.getLongValue();
                }
                return type == ColumnType.FLOAT64
                        ? (Object) wholeAsReal(parser)
                        : Unfit.of(parser.getText());
            case VALUE_NUMBER_FLOAT:
                return type == ColumnType.FLOAT64
                        ? (Object) parser.getDoubleValue()
                        : Unfit.of(parser.getText());
            default:
                boolean object = token == JsonToken.START_OBJECT;
                parser.skipChildren();
                return Unfit.of(object ? "an object" : "a list");
        }
    }

    // As an integer first, of which there is no negative zero.
    private static double wholeAsReal(JsonParser parser) throws IOException {
        return parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER
                ? Double.parseDouble(parser.getText())
                : parser.getLongValue();
    }

    /** Why a record that is no JSON is refused: what its columns hold may be a better reason. */
    private BadRecord refusal(byte[] raw, IOException error) throws BadRecord {
        try {
            checked(read(LENIENT, raw));
        } catch (IOException again) {
            return undecodable("is not JSON: " + firstLine(again));
        }
        return undecodable("can't be read: " + firstLine(error));
    }

    private BadRecord undecodable(String what) {
        return new BadRecord("undecodable", schema + " " + what);
    }

    private static String firstLine(IOException error) {
        return String.valueOf(error.getMessage()).lines().findFirst().orElse("");
    }

    private static JsonFactory factory(boolean lenient) {
        return JsonFactory.builder()
                .streamReadConstraints(
                        StreamReadConstraints.builder()
                                .maxNumberLength(Integer.MAX_VALUE)
                                .maxStringLength(Integer.MAX_VALUE)
                                .build())
                .configure(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS, lenient)
                .build();
    }
}
