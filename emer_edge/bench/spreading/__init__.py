"""The same work on many items, here, in several processes or on several machines: answers in order, figures the same.

Every way is one method, `map_ordered(work, items)`, so that whoever scores clips knows nothing of it. Work is a
function of the session and the item alone, what it gives is picklable, and never more than a few answers wait to be
taken.
"""
