"""Everything a person reads, in French and English.

The sentences live in `locale/<language>/*.po`, under keys instead of source sentences:

    errors.po   `REASON.message`, `REASON.cure`, `reject.<reason>`, `column.<canonical name>`
    rules.po    `<rule>.name`, `<rule>.description`, and of each `<rule>.<scenario>`: `.title`, `.message`, `.solution`;
                `<scenario>.…` stands in where a rule has no text of its own
    batches.po  `batch.<finding>.…`: what is found in several files of a batch
    notifications.po  the e-mail about a run
    operator.po `doctor.…`, `inspect.…`, `stack.…`, `purge.…`: what the operator's commands print
    service.po  `rule.<status>` (why a rule is off), `reference_problem.<problem>` (what is wrong with a file),
                `unit.…`, `list.others`, `pack.…` (the result of checking a rule pack)

Texts of rule packs are not in catalogues: they stand in the packs and are added by `extend`.

`{name}` is a parameter. A part in square brackets is left out if one of its parameters is not there. A plural entry
names the parameter that counts in its `msgid_plural`: `msgid_plural "{count}"`.
"""
