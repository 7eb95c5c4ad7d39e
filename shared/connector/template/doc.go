// Package template fills request templates in: the part of FreeMarker that connectors of castorm's HTTP source use,
// known as a whole before anything runs.
//
// An interpolation is ${…} around a name, with what may follow it:
//
//	${offset.x}             the offset property x; bare ${x} is the same where castorm's backwards compatible factory is used
//	${var.x}                the request variable x
//	${"text"}               the text itself
//	${offset.x!"default"}   the default where the property is missing; without a default nothing. As in FreeMarker the
//	                        default reaches to the end of the expression; (offset.x!"default")?url goes on behind it
//	${…?datetime.iso}       the text as an ISO 8601 date and time (xs:dateTime), UTC where it names no zone
//	${…?string("pattern")}  the date in the pattern of java.text.SimpleDateFormat, in UTC; also ?string['pattern'],
//	                        ?string.iso
//	${…?long}               the date as milliseconds since 1970, without any grouping (number format "computer")
//	${…?url}                the text percent-encoded in UTF-8
//
// Everything else FreeMarker has (directives, other built-ins, arithmetic, #{…}) is an error of [Parse], so that it is
// found when a connector file is checked and not when it runs. What [Escape] returns stands for itself in a template.
package template
