package rest

// HTTPStatus is the status of the answer, for packages that do not know this one.
func (e *StatusError) HTTPStatus() int { return e.Status }
