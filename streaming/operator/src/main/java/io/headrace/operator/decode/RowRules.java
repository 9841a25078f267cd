package io.headrace.operator.decode;

import io.headrace.operator.BadRecord;
import io.headrace.operator.expression.Expression;
import io.headrace.operator.expression.Expressions;
import io.headrace.operator.plan.SourcePlan;
import io.headrace.operator.plan.SourceRule;
import java.util.List;
import java.util.regex.Pattern;

/** The rules of a source, to which an event that fulfils the contract is held. */
public final class RowRules {
    private final SourcePlan source;
    private final List<Rule> rules;

    /** Prepares for events of a source. */
    public RowRules(SourcePlan source) {
        this.source = source;
        rules = source.rules().stream().map(this::compiled).toList();
    }

    /**
     * Refuses an event that breaks a rule, by the first that it breaks.
     *
     * @param row the event's values, in the order of the columns
     * @param knownAt when it could first be known
     * @param arrived when its record was sent
     */
    public void check(Object[] row, long knownAt, long arrived) throws BadRecord {
        for (Rule rule : rules) {
            if (!rule.test.holds(row, knownAt, arrived)) {
                throw new BadRecord(
                        "rule_broken", source.schema() + " breaks the rule " + rule.name);
            }
        }
    }

    private Rule compiled(SourceRule rule) {
        return new Rule(
                rule.name(),
                switch (rule.kind()) {
                    case ROW -> condition(rule);
                    case FORMAT -> format(rule);
                    case TIMELY -> (row, knownAt, arrived) -> arrived - knownAt <= rule.withinMs();
                });
    }

    private Test condition(SourceRule rule) {
        Expression holds = Expressions.compile(rule.holds(), source.columnNames());
        return (row, knownAt, arrived) -> {
            try {
                return Boolean.TRUE.equals(holds.evaluate(row));
            } catch (BadRecord notComputable) {
                return false;
            }
        };
    }

    private Test format(SourceRule rule) {
        int place = source.place(rule.column());
        Pattern pattern = PythonPattern.compile(rule.pattern());
        return (row, knownAt, arrived) ->
                row[place] == null || pattern.matcher((String) row[place]).find();
    }

    private record Rule(String name, Test test) {}

    private interface Test {
        boolean holds(Object[] row, long knownAt, long arrived);
    }
}
